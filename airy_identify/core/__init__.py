"""The identity rules: pure functions over frozen values; no I/O, clock, randomness, Kafka or Avro."""
