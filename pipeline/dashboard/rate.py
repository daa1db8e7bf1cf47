"""How many an hour: counted over the last five minutes, by the second. Pure."""

from __future__ import annotations

from collections import defaultdict, deque

WINDOW_S = 300
SHORTEST_S = 5.0
"""A rate over less than this would jump about."""


class Rate:
    """Rates of several names; memory is bounded by the window."""

    def __init__(self) -> None:
        self._first_s: dict[str, float] = {}
        self._counts: dict[str, deque[tuple[int, int]]] = defaultdict(lambda: deque(maxlen=WINDOW_S))

    def count(self, name: str, now_ns: int) -> None:
        """One more now, monotonic ns."""
        self._first_s.setdefault(name, now_ns / 1e9)
        counts, second = self._counts[name], now_ns // 1_000_000_000
        before = counts.pop()[1] if counts and counts[-1][0] == second else 0
        counts.append((second, before + 1))

    def per_hour(self, name: str, now_ns: int) -> float:
        """How many an hour, over the window or what has passed of it since the first one."""
        first_s = self._first_s.get(name)
        if first_s is None:
            return 0.0
        now_s = now_ns / 1e9
        total = sum(count for second, count in self._counts[name] if now_s - second <= WINDOW_S)
        return total * 3600 / min(WINDOW_S, max(SHORTEST_S, now_s - first_s))
