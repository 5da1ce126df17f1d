"""Who is asking: the holder of the system token, or a named client with `name.secret` or a JWT of its own.

- The system token is compared first, as if there were no clients.
- A secret has a slow hash. One that was found right is remembered by a fast one with a key of this process, one for each
  hash in the file, and is forgotten with it. So only its first use is slow, and a flood of wrong ones does not hold up
  clients that are known.
- Wrong ones are bounded: one is tried at a time, in a thread of its own, and few wait for each name; the others are told
  to come back (429). Names that do not exist are tried like others and share one queue, so time does not tell which do.
- A JWT is verified with the keys of the client that it names as its issuer, or else with anybody's, in vain.
"""

import asyncio
import hashlib
import hmac
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from airy_identify.core.reasons import Reason, Rejected
from airy_identify.intake.client_secrets import SecretHash, VerificationKey, claimed_issuer, hash_of_nobody, is_secret
from airy_identify.intake.clients import CREDENTIALS_MAX, Client
from airy_identify.web.auth import bare_token
from airy_identify.web.errors import RefusedError
from airy_identify.web.rate_limit import RateLimit

logger = logging.getLogger(__name__)

TURNS_PER_NAME_MAX = 4
_JWT_DOTS = 2
_TOKEN_CHARACTERS_MAX = 8 * 1024
_UNKNOWN = ""


class Clients(Protocol):
    """Where the clients are."""

    @property
    def by_name(self) -> Mapping[str, Client]:
        """Return the clients that are in force."""
        ...


class Callers:
    """Tells named clients from strangers. `clock_s` gives seconds since the epoch."""

    def __init__(self, clients: Clients, *, key: bytes, clock_s: Callable[[], float] = time.time) -> None:
        """Prepare; `key` is 32 random bytes that this process keeps to itself."""
        self._clients = clients
        self._key = key
        self._clock_s = clock_s
        self._known: dict[SecretHash, bytes] = {}
        self._limits: dict[str, tuple[int, RateLimit]] = {}
        self._waiting: Counter[str] = Counter()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="client secrets")
        self._nobodys = hash_of_nobody(hashlib.blake2b(b"nobody", key=key, digest_size=32).digest())

    def close(self) -> None:
        """Give the thread up."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def client_of(self, authorization: Sequence[str]) -> Client | None:
        """Return the client that these values of the header `Authorization` show, null for anybody else.

        Raises:
            RefusedError: `rate_limited`: too many secrets that were never seen wait to be tried.
        """
        token = bare_token(authorization)
        if token is None or len(token) > _TOKEN_CHARACTERS_MAX or not self._clients.by_name:
            return None
        if token.count(".") == _JWT_DOTS:
            return self._client_of_jwt(token)
        name, dot, secret = token.partition(".")
        return await self._client_of_secret(name, secret) if dot and is_secret(secret) else None

    def take_turn(self, client: Client, clock: Callable[[], float] = time.monotonic) -> None:
        """Count one request of a client against its own limit. Raises `RefusedError`, `rate_limited`."""
        per_s = client.requests_per_second
        if per_s is None:
            self._limits.pop(client.name, None)
            return
        limit = self._limits.get(client.name)
        if limit is None or limit[0] != per_s:
            limit = self._limits[client.name] = (per_s, RateLimit(per_s, clock))
        limit[1].take()

    def _client_of_jwt(self, token: str) -> Client | None:
        claimed = claimed_issuer(token)
        if claimed is None:
            return None
        algorithm, issuer = claimed
        client = self._clients.by_name.get(issuer)
        keys = [] if client is None else [key for key in client.keys if key.algorithm == algorithm]
        now_s = int(self._clock_s())
        is_genuine = [key.verify(token, issuer=issuer, now_s=now_s) for key in keys or self._anybodys(algorithm)]
        return client if keys and any(is_genuine) else None

    def _anybodys(self, algorithm: str) -> list[VerificationKey]:
        """Return a key to verify in vain with."""
        keys = (key for client in self._clients.by_name.values() for key in client.keys)
        return [key for key in keys if key.algorithm == algorithm][:1]

    async def _client_of_secret(self, name: str, secret: str) -> Client | None:
        client = self._clients.by_name.get(name)
        hashes = () if client is None else client.secrets
        fast = hashlib.blake2b(f"{name}.{secret}".encode(), key=self._key).digest()
        if any(hmac.compare_digest(self._known.get(each, b""), fast) for each in hashes):
            return client
        queue = _UNKNOWN if client is None else name
        if self._waiting[queue] >= TURNS_PER_NAME_MAX:
            message = "Too many secrets that were not seen before wait to be tried. Try again in 1 s."
            raise RefusedError(Rejected(reason=Reason.RATE_LIMITED, message=message), headers={"Retry-After": "1"})
        self._waiting[queue] += 1
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._thread, self._try, hashes, secret)
        finally:
            self._waiting[queue] -= 1
        if found is None:
            return None
        self._remember(found, fast)
        # The file may have changed meanwhile.
        now = self._clients.by_name.get(name)
        return now if now is not None and found in now.secrets else None

    def _try(self, hashes: tuple[SecretHash, ...], secret: str) -> SecretHash | None:
        """Return the hash of this secret. As many are tried for whoever has fewer, so that all take the same time."""
        padded = (*hashes, *(self._nobodys,) * CREDENTIALS_MAX)[:CREDENTIALS_MAX]
        right = [each for each in padded if each.matches(secret)]
        return right[0] if right and right[0] in hashes else None

    def _remember(self, found: SecretHash, fast: bytes) -> None:
        """Keep the fast hash of a right secret, and forget those of hashes that are in the file no more."""
        in_force = {each for client in self._clients.by_name.values() for each in client.secrets}
        self._known = {each: known for each, known in self._known.items() if each in in_force}
        self._known[found] = fast
