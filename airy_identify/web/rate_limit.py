"""How many requests a second a bridge takes, with a burst of one second's worth. More are told when to come back."""

import math
from collections.abc import Callable

from airy_identify.core.reasons import Reason, Rejected
from airy_identify.web.errors import RefusedError


class RateLimit:
    """A token bucket. `per_s` null is no limit; `clock` gives seconds and never goes back."""

    def __init__(self, per_s: int | None, clock: Callable[[], float]) -> None:
        self._per_s = per_s
        self._clock = clock
        self._filled_at = clock()
        self._left = float(per_s or 0)

    def take(self) -> None:
        """Count one request.

        Raises:
            RefusedError: `rate_limited`, with `Retry-After` in whole seconds.
        """
        if self._per_s is None:
            return
        now = self._clock()
        self._left = min(float(self._per_s), self._left + (now - self._filled_at) * self._per_s)
        self._filled_at = now
        if self._left >= 1:
            self._left -= 1
            return
        retry_after_s = math.ceil((1 - self._left) / self._per_s)
        message = f"More than {self._per_s} requests in a second. Try again in {retry_after_s} s."
        rejected = Rejected(reason=Reason.RATE_LIMITED, message=message)
        raise RefusedError(rejected, headers={"Retry-After": str(retry_after_s)}, close=False)
