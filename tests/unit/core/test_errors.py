from airy_identify.core.errors import BrokenWorldError, InconsistentTableError, UnsupportedRulesError


def test_no_broken_world_mends_itself() -> None:
    assert not any(error.retriable for error in (BrokenWorldError, InconsistentTableError, UnsupportedRulesError))


def test_errors_tell_the_operator_what_to_do() -> None:
    for error in (InconsistentTableError, UnsupportedRulesError):
        assert issubclass(error, BrokenWorldError)
        assert "Operator action:" in (error.__doc__ or "")
