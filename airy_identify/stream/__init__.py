"""The stream processor: Faust app, shards, batch transactions, tables and agents."""
