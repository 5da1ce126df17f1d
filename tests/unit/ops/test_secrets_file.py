import base64
from pathlib import Path

from airy_identify.ops.secrets_file import keep_secrets


def test_secrets_are_random_and_kept_for_their_owner_only(tmp_path: Path) -> None:
    first = keep_secrets(tmp_path, system_token=None, jwt_secret=None)
    again = keep_secrets(tmp_path, system_token=None, jwt_secret=None)

    assert again == first
    assert [oct(path.stat().st_mode & 0o777) for path in tmp_path.iterdir()] == ["0o600"]
    assert len(base64.b64decode(first.jwt_secret)) >= 32


def test_two_installations_share_no_secret(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, other = (keep_secrets(tmp_path / name, system_token=None, jwt_secret=None) for name in "ab")

    assert one.system_token != other.system_token
    assert one.jwt_secret != other.jwt_secret


def test_given_secrets_win_and_are_kept(tmp_path: Path) -> None:
    made = keep_secrets(tmp_path, system_token=None, jwt_secret=None)

    given = keep_secrets(tmp_path, system_token="mine", jwt_secret=None)

    assert (given.system_token, given.jwt_secret) == ("mine", made.jwt_secret)
    assert keep_secrets(tmp_path, system_token=None, jwt_secret=None) == given
