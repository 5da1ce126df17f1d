"""The commands of `airy-identify` for people who operate it: options in, tables or JSON out."""
