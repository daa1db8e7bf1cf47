"""Values as standard normal quantiles of a sample, whatever its distribution. Pure."""

from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

KNOTS = 65
_TAIL_KNOTS = 6
_NORMAL = NormalDist()
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
        with np.errstate(over="ignore"):  # beyond all numbers is farthest, too
            under = np.minimum(values - self.knots[0], 0.0) / self.below
            over = np.maximum(values - self.knots[-1], 0.0) / self.above
        return np.asarray(np.clip(inner + under + over, -FARTHEST, FARTHEST))


def quantiles(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """At most `KNOTS` distinct values and their normal scores, evenly spaced in these.

    Few distinct values have the mean score of their share of the distribution each: then the scores of all
    values have the mean 0, however many of them are equal.
    """
    n = len(values)
    distinct, counts = np.unique(values, return_counts=True)
    ends = np.concatenate([[0.0], np.cumsum(counts) / n])
    if len(distinct) <= KNOTS:
        density = np.array([_density(share) for share in ends])
        return distinct, (density[:-1] - density[1:]) / np.diff(ends)
    middles = (ends[:-1] + ends[1:]) / 2
    lowest, highest = (_NORMAL.inv_cdf(float(share)) for share in (middles[0], middles[-1]))
    scores = np.linspace(lowest, highest, KNOTS, dtype=np.float64)
    shares = np.array([_NORMAL.cdf(score) for score in scores])
    return np.interp(shares, middles, distinct), scores


def _density(share: float) -> float:
    """Of the standard normal distribution where so large a share of it lies below."""
    return _NORMAL.pdf(_NORMAL.inv_cdf(share)) if 0.0 < share < 1.0 else 0.0
