"""What operators run: topics, local broker, dead letters, state."""
