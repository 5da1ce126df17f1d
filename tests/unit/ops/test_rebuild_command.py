"""What `rebuild` says where there is no terminal."""

import pytest

from airy_identify.ops.commands.rebuild import line, progress_shown


def test_a_line_says_how_fast_it_goes_and_how_long_it_will_take() -> None:
    assert line("conversation 3: building", 0, 500, 0.0) == "conversation 3: building: 0 of 500"
    assert line("conversation 3: building", 200, 1000, 4.0) == "conversation 3: building: 200 of 1000, 50/s, 16 s left"
    assert line("x", 12, 10, 1.0).endswith(", 0 s left"), "more may come than was there when it began"


def test_each_thing_is_said_once_when_it_goes_quickly(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_shown() as advance:
        for done in range(0, 500, 100):
            advance("conversation 0: building", done, 500)
        for _ in range(3):
            advance("conversation 0: comparing", 0, 1)
    assert capsys.readouterr().err.splitlines() == [
        "conversation 0: building: 0 of 500",
        "conversation 0: comparing",
    ]
