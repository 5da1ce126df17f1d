"""Bytes to core values and back: Avro, JSON, row keys, tokens."""
