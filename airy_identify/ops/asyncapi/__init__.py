"""The AsyncAPI document: every topic, message, header and reply, from `topics.py` and `schemas/*.avsc`."""
