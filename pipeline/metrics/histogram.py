"""Durations in buckets, whose bounds lie close together where the station's budgets are."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.config import Config

COARSE_MS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0)
AROUND = (0.75, 0.9, 1.0, 1.1, 1.5)
"""Of a budget: near misses are told from misses."""


class Durations:
    """Counts of durations at most each bound; seconds."""

    def __init__(self, bounds_s: tuple[float, ...]) -> None:
        self._bounds_s = bounds_s
        self._counts = [0] * (len(bounds_s) + 1)
        self.sum_s = 0.0

    def add(self, duration_s: float) -> None:
        """Note one duration; a negative one, of clocks that disagree, counts as none."""
        duration_s = max(0.0, duration_s)
        self._counts[bisect_left(self._bounds_s, duration_s)] += 1
        self.sum_s += duration_s

    @property
    def buckets(self) -> list[tuple[str, float]]:
        """Upper bound as text, and how many were at most as long."""
        bounds = [f"{bound:g}" for bound in self._bounds_s] + ["+Inf"]
        return [(bound, float(count)) for bound, count in zip(bounds, accumulate(self._counts), strict=True)]


def bounds_s(config: Config) -> tuple[float, ...]:
    """Upper bounds of the buckets: coarse ones everywhere, and more around the deadline and the budgets."""
    budgets = config.budgets
    limits = [
        config.station.deadline_ms,
        budgets.inference_p99_ms,
        budgets.trigger_to_published_p99_ms,
    ]
    near = [limit * share for limit in limits if limit is not None for share in AROUND]
    return tuple(sorted({float(f"{bound / 1000:.3g}") for bound in (*COARSE_MS, *near)}))
