"""How long a chart runs until a false alarm, and the limit for a stated run length; computed, not tabulated.

Sources: Lucas and Saccucci, "Exponentially weighted moving average control schemes", Technometrics 32 (1990),
for the EWMA; Reynolds and Stoumbos, "A CUSUM chart for monitoring a proportion when inspecting continuously",
Journal of Quality Technology 31 (1999), for rejects. Both are Markov chains after Brook and Evans (1972).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

WEIGHT = 0.05
"""Of the newest part in the average: half of it are the last 14 parts, nine tenths the last 45."""
REMEMBERED = (2 - WEIGHT) / WEIGHT
"""Independent values whose plain mean varies as much as the average."""
_STATES = 101
_CAUTION = 1.2816
"""Of ten baselines nine lie nearer to the truth than this many standard errors, in one direction."""


def ewma_run_length(limit: float, *, mean: float = 0.0, sd: float = 1.0) -> float:
    """Mean number of parts until an average that begins at 0 leaves -limit .. limit.

    Args:
        limit: of the average, in standard deviations of one value.
        mean: of the values, which are independent and normal.
        sd: of the values.
    """
    width = 2 * limit / _STATES
    centres = -limit + (np.arange(_STATES) + 0.5) * width
    edges = -limit + np.arange(_STATES + 1) * width
    reached = (edges[None, :] - (1 - WEIGHT) * centres[:, None]) / WEIGHT
    below = _normal_cdf((reached - mean) / sd)
    stay = np.diff(below, axis=1)
    lengths = np.linalg.solve(np.eye(_STATES) - stay, np.ones(_STATES))
    return float(lengths[_STATES // 2])


def ewma_limit(run_length: float, *, parts: int) -> float:
    """Limit for a run length of at least this much, for nine of ten baselines of so many parts.

    A baseline misses the true mean by 1/sqrt(parts) standard deviations of one value. A limit for a mean that
    were known exactly would alarm far more often than it says (Jones, Champ and Rigdon, Technometrics 43,
    2001), so the chain is run with an unfavourable error of that size. All this is of independent values; for
    others see `widening`.
    """
    mean = _CAUTION / math.sqrt(parts)
    return _smallest(lambda limit: ewma_run_length(limit, mean=mean) >= run_length)


def widening(inflation: float, *, parts: int) -> float:
    """Factor of a limit for values that are alike, and for what a baseline misses of how much they are.

    The run length is about that of independent values at the same limit in standard deviations of the
    average: Zhang, "A statistical control chart for stationary process data", Technometrics 40 (1998). A
    baseline has about parts / `REMEMBERED` independent values of the average to tell that deviation by.
    """
    return math.sqrt(inflation) * (1 + _CAUTION * math.sqrt(REMEMBERED / parts / 2))


def rejects_run_length(limit: int, step: int, rate: float) -> float:
    """Mean number of parts until the sum for rejects reaches `limit`; exact, in O(limit).

    The sum gains `step` for a reject and loses 1 for any other part; it does not fall below 0. From the top
    down, the run length from sum j is `a[j] + b[j] *` that from j - 1; what a reject leads to is the
    composition of the next `step` of these maps.
    """
    a, b = [0.0] * limit, [0.0] * limit
    above, slope = 0.0, 0.0
    for j in range(limit - 1, -1, -1):
        if j + step < limit - 1 and (limit - 1 - j) % step:  # from the maps before
            above = (above + slope * a[j + 1] - a[j + step + 1]) / b[j + step + 1]
            slope *= b[j + 1] / b[j + step + 1]
        elif j + step < limit:  # anew now and then, so that no rounding error grows
            above, slope = 0.0, 1.0
            for k in range(j + step, j, -1):
                above, slope = above + slope * a[k], slope * b[k]
        left = 1 - rate * slope
        a[j], b[j] = (1 + rate * above) / left, (1 - rate) / left
    return a[0] / (1 - b[0])


def rejects_chart(run_length: float, rate: float) -> tuple[int, int]:
    """Step and limit of the sum that finds a doubled reject rate soonest, for a stated run length.

    Args:
        run_length: parts until a false alarm, at least.
        rate: of rejects while the line is steady, below 0.5.
    """
    doubled = min(2 * rate, (1 + rate) / 2)
    pass_step = -math.log((1 - doubled) / (1 - rate))
    step = max(1, round(math.log(doubled / rate) / pass_step))
    low, high = step, 2 * step
    while rejects_run_length(high, step, rate) < run_length:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if rejects_run_length(middle, step, rate) >= run_length else (middle, high)
    return step, high


def _smallest(enough: Callable[[float], bool]) -> float:
    """The smallest limit that is enough, from below: far above it the chain's equations are singular."""
    low, high = 0.0, 0.1
    while not enough(high):
        low, high = high, 1.25 * high
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _normal_cdf(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """By `math.erfc`, so that a station needs no SciPy."""
    flat = [0.5 * math.erfc(-value / math.sqrt(2)) for value in x.ravel().tolist()]
    return np.array(flat).reshape(x.shape)
