"""How many times as many good parts are rejected as while the line was steady: bounds from their scores."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from calibration.threshold import beta_quantile

if TYPE_CHECKING:
    from numpy.typing import NDArray

CONFIDENCE = 0.95
TAIL = 0.1
"""Share of the scores of which the tail's scale is taken."""
_RESAMPLED = 2_000


class Times(NamedTuple):
    """A rate in that of the steady line: the estimate, and its bound at 95 %, one-sided."""

    estimate: float
    most: float


def most_times(new: int, steady: int) -> float:
    """Upper bound of it, from counts alone.

    Of the parts that are rejected anew or were rejected already, the share of the new ones has an exact bound
    (Clopper and Pearson); parts that are no longer rejected are not taken off.
    """
    if steady == 0:
        return math.inf
    return 1 / (1 - beta_quantile(CONFIDENCE, new + 1, new + steady))


def tail_times(steady: NDArray[np.float64], drifted: NDArray[np.float64], threshold: float) -> Times:
    """By exponential tails above the same level, for rates of which the parts show too few rejects to count.

    Args:
        steady: (parts,) scores.
        drifted: (parts,) scores of the same parts under the drift: parts are drawn anew in pairs.
        threshold: above which a part is rejected.
    """
    level = float(np.quantile(steady, 1 - TAIL))
    rng, parts = np.random.default_rng(5), len(steady)
    drawn = rng.integers(parts, size=(_RESAMPLED, parts))
    ratios = _tail_rate(drifted[drawn], level, threshold) / _tail_rate(steady[drawn], level, threshold)
    rate, usual = (_tail_rate(scores[None], level, threshold)[0] for scores in (drifted, steady))
    return Times(float(rate / usual), float(np.quantile(ratios, CONFIDENCE)))


def _tail_rate(scores: NDArray[np.float64], level: float, threshold: float) -> NDArray[np.float64]:
    """Share of each row that lies above the threshold, if its excess over the level is exponential."""
    above = scores > level
    count = np.maximum(above.sum(axis=1), 1)
    scale = np.where(above, scores - level, 0.0).sum(axis=1) / count
    return np.asarray(count / scores.shape[1] * np.exp(-(threshold - level) / scale))
