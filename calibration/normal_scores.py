"""Values as standard normal quantiles of a sample, whatever its distribution. Pure."""

from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

KNOTS = 65
FARTHEST = 6.0
"""Normal scores end here: one freak part moves the average of a chart by 0.3 at most."""


class Scale(NamedTuple):
    """Normal scores between the knots; beyond the outer ones they go on by 1 for every `spread`."""

    knots: NDArray[np.float64]
    scores: NDArray[np.float64]
    spread: float

    def __call__(self, values: NDArray[np.float64] | float) -> NDArray[np.float64]:
        """Normal scores, at most `FARTHEST` away from 0, in the shape of the values."""
        inner = np.interp(values, self.knots, self.scores)
        beyond = (values - np.clip(values, self.knots[0], self.knots[-1])) / self.spread
        return np.asarray(np.clip(inner + beyond, -FARTHEST, FARTHEST))


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
