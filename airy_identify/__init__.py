"""Kafka topics in, contact identities and resume tokens out."""
