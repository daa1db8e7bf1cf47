"""Values as standard normal quantiles of a sample, whatever its distribution. Pure."""

from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

KNOTS = 65
_TAIL_KNOTS = 6
FARTHEST = 6.0
"""Normal scores end here: one freak part moves the average of a chart by 0.3 at most."""


class Scale(NamedTuple):
    """Normal scores between the knots; beyond the outer ones they go on by 1 for every `below` or `above`."""

    knots: NDArray[np.float64]
    scores: NDArray[np.float64]
    below: float
    above: float

    @classmethod
    def of(cls, knots: NDArray[np.float64], scores: NDArray[np.float64], spread: float) -> Scale:
        """Tails go on as steeply as their last knots, and not more steeply than a normal one of this spread.

        A long tail that went on like a normal one would make a drift of a few parts from further down it.
        """
        below = above = spread
        if len(knots) > _TAIL_KNOTS:
            ends = (slice(0, _TAIL_KNOTS + 1), slice(-_TAIL_KNOTS - 1, None))
            below, above = (max(spread, float(np.ptp(knots[e]) / np.ptp(scores[e]))) for e in ends)
        return cls(knots, scores, below, above)

    def __call__(self, values: NDArray[np.float64] | float) -> NDArray[np.float64]:
        """Normal scores, at most `FARTHEST` away from 0, in the shape of the values."""
        inner = np.interp(values, self.knots, self.scores)
        under = np.minimum(values - self.knots[0], 0.0) / self.below
        over = np.maximum(values - self.knots[-1], 0.0) / self.above
        return np.asarray(np.clip(inner + under + over, -FARTHEST, FARTHEST))


def quantiles(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """At most `KNOTS` distinct values and their normal scores, evenly spaced in these.

    Equal values share their mean score.
    """
    ordered = np.sort(values)
    n = len(ordered)
    normal = NormalDist()
    positions = np.array([normal.inv_cdf((i + 0.5) / n) for i in range(n)])
    distinct, first = np.unique(ordered, return_index=True)
    mean = np.add.reduceat(positions, first) / np.diff(np.append(first, n))
    if len(distinct) <= KNOTS:
        return distinct, mean
    wanted = np.linspace(mean[0], mean[-1], KNOTS)
    return np.interp(wanted, mean, distinct), wanted
