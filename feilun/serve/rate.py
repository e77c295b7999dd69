"""How often one principal may act: a bucket of tokens each, as large as what comes in a minute.

Kept in the server's memory, one number a principal: when its bucket will be full again (the generic cell rate algorithm, ITU-T I.371).
"""

import math
import time
from collections.abc import Callable

from feilun.serve.errors import ApiError

__all__ = ["Rate"]

MINUTE_SECONDS = 60.0
KEPT_BEFORE_SWEEP = 1000


class Rate:
    """`per_minute` acts a principal, all at once or spread; 0 limits nothing. clock: seconds that only grow."""

    def __init__(self, per_minute: int, *, clock: Callable[[], float] = time.monotonic):
        self._per_minute, self._clock = per_minute, clock
        self._full_at: dict[str, float] = {}
        self._sweep_at = KEPT_BEFORE_SWEEP

    def take(self, principal: str, acts: int = 1) -> None:
        """Count `acts`; ApiError 429 says when to come again, and then nothing was counted.

        More acts than a whole bucket holds pass when it is full, and are paid for afterwards.
        """
        if not self._per_minute:
            return
        now, cost = self._clock(), acts * MINUTE_SECONDS / self._per_minute
        owed = max(self._full_at.get(principal, now) - now, 0.0)
        too_much = owed + min(cost, MINUTE_SECONDS) - MINUTE_SECONDS
        if too_much > 1e-9:
            seconds = math.ceil(too_much)
            message = f"{principal!r} may do this {self._per_minute} times a minute and has; try again in {seconds} seconds"
            raise ApiError(429, message, code="rate_limited", retry_after_seconds=seconds)
        self._full_at[principal] = now + owed + cost
        if len(self._full_at) > self._sweep_at:
            self._sweep(now)

    def _sweep(self, now: float) -> None:
        """Full buckets need no memory."""
        self._full_at = {principal: at for principal, at in self._full_at.items() if at > now}
        self._sweep_at = max(2 * len(self._full_at), KEPT_BEFORE_SWEEP)
