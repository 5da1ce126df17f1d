"""Who may ask: the holder of the system token, with the scheme word `Bearer` in any case or the bare token."""

import hmac
import re
from collections.abc import Sequence

_BEARER = re.compile(r"\Abearer[ \t]+", re.IGNORECASE)


def bare_token(authorization: Sequence[str]) -> str | None:
    """Return the token that these values of the header `Authorization` carry, without the word Bearer.

    Null if there is not exactly one, or it is not ASCII: it would otherwise depend on how the server decoded it.
    """
    if len(authorization) != 1 or not authorization[0].isascii():
        return None
    return _BEARER.sub("", authorization[0].strip(), count=1)


class SystemToken:
    """The one token that may identify people. It never prints."""

    def __init__(self, token: str) -> None:
        """Take the token as the settings have it.

        Raises:
            ValueError: It is empty, is not ASCII or has white space around it, so no caller could ever send it.
        """
        if not token or not token.isascii() or token != token.strip():
            raise ValueError("the system token must be ASCII without white space around it, and not empty")
        self._token = token.encode()

    def __repr__(self) -> str:
        return "SystemToken(…)"

    def allows(self, authorization: Sequence[str]) -> bool:
        """Say whether these values of the header `Authorization` carry the token; exactly one has to be there.

        The comparison takes the same time wherever the values differ. Anything that is not ASCII is refused: it would
        otherwise depend on how the server decoded it. A visitor's chat token is just another wrong value.
        """
        if len(authorization) != 1 or not authorization[0].isascii():
            return False
        value = authorization[0].strip()
        bare = hmac.compare_digest(value.encode(), self._token)
        return hmac.compare_digest(_BEARER.sub("", value, count=1).encode(), self._token) or bare
