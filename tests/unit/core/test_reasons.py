from airy_identify.core.reasons import HTTP_STATUS, Reason


def test_every_reason_has_a_status() -> None:
    assert set(HTTP_STATUS) == set(Reason)


def test_every_status_is_an_error() -> None:
    assert all(400 <= status <= 504 for status in HTTP_STATUS.values())
