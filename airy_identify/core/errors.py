"""What must never happen to the rules: the table or the log is not what this code can go on with.

    BrokenWorldError
    ├── InconsistentTableError
    └── UnsupportedRulesError

A bad record is no error but a value, `reasons.Rejected`.
"""


class BrokenWorldError(Exception):
    """Base of all errors of the core. Nothing was decided, so nothing may be written. Never names a caller's data."""

    retriable: bool = False


class InconsistentTableError(BrokenWorldError):
    """A row points to a contact that is not there.

    Operator action: stop the worker, run `airy-identify verify` for this partition, and report the log around it.
    """


class UnsupportedRulesError(BrokenWorldError):
    """A command was accepted under rules that this version does not know: a newer release wrote it.

    Operator action: bring all workers to the release that the bridges and intake run.
    """
