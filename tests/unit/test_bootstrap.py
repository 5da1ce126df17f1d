import resource
from collections.abc import Iterator

import pytest

from airy_identify.bootstrap.process import raise_open_files_limit

FILES = resource.RLIMIT_NOFILE


@pytest.fixture
def limits() -> Iterator[tuple[int, int]]:
    before = resource.getrlimit(FILES)
    yield before
    resource.setrlimit(FILES, before)


def test_a_process_may_open_as_many_files_as_the_system_allows(limits: tuple[int, int]) -> None:
    resource.setrlimit(FILES, (256, limits[1]))

    raise_open_files_limit()

    assert resource.getrlimit(FILES) == (limits[1], limits[1])


def test_a_system_that_refuses_is_no_reason_to_stop(monkeypatch: pytest.MonkeyPatch, limits: tuple[int, int]) -> None:
    def refuse(*_: object) -> None:
        raise ValueError("not allowed to raise maximum limit")

    resource.setrlimit(FILES, (256, limits[1]))
    with monkeypatch.context() as patched:
        patched.setattr(resource, "setrlimit", refuse)
        raise_open_files_limit()

    assert resource.getrlimit(FILES) == (256, limits[1])
