"""What decoding raises."""


class UndecodableError(ValueError):
    """Bytes that are not one of the records we know. The message says why and quotes none of them.

    A bad record, not a broken world: agents turn it into a dead letter.
    """
