"""How often one client may ask for what costs more than a look into memory. Pure: no clock of its own."""

from __future__ import annotations

REMEMBERED_CLIENTS = 256


class RateLimit:
    """At most `per_s` requests a second of one client, and `burst` at once."""

    def __init__(self, *, per_s: float, burst: int) -> None:
        self._per_s, self._burst = per_s, burst
        self._left: dict[bytes, tuple[float, int]] = {}

    def take(self, client: bytes, now_ns: int) -> bool:
        """Whether this client may have one more request now; clients not heard for long are forgotten."""
        left, since_ns = self._left.pop(client, (float(self._burst), now_ns))
        left = min(float(self._burst), left + (now_ns - since_ns) / 1e9 * self._per_s)
        allowed = left >= 1.0
        self._left[client] = (left - 1.0 if allowed else left, now_ns)
        if len(self._left) > REMEMBERED_CLIENTS:
            del self._left[next(iter(self._left))]
        return allowed
