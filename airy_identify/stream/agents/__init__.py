"""What each agent does with one record: read, decide, write. No I/O beyond the batch, no waiting."""
