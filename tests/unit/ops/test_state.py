from typing import get_args

from airy_identify.core.values import IdentityKey
from airy_identify.ops.state import KINDS


def test_every_kind_of_row_has_its_name() -> None:
    assert set(KINDS) == set(get_args(IdentityKey))
    assert len(set(KINDS.values())) == len(KINDS)
