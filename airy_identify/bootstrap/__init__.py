"""The only place that wires: settings in, running processes and whole commands out."""
