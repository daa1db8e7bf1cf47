"""What a chart compares with: the values of a steady line, learned once and kept. Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from calibration.normal_scores import Scale, quantiles
from calibration.run_length import WEIGHT
from calibration.threshold import beta_quantile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from calibration.record import ScoreQuantiles

HIGHEST_CORRELATION = 0.95
OWN_MARGIN = 1.2
"""A limit lies at least this much above what the average reached while the baseline was learned."""
REJECTS_CONFIDENCE = 0.9
HIGHEST_REJECT_RATE = 0.45
_LEAST_APART = 0.25
_BY_CHANCE = 3.29
_MEDIAN = math.pi / 2
"""Variance of a median of normal values, in that of their mean."""


class LevelBaseline(msgspec.Struct, frozen=True, kw_only=True):
    """A steady line's values of one chart.

    `knots` are quantiles, increasing, and `scores` the standard normal quantiles of the same probabilities.
    `spread` is the standard deviation, or the finest one that the measure can tell. `usual` is the median.
    `correlation` is that of one part's score and the next one's. `excursion` is the largest value that the
    chart's average had on the baseline itself.
    """

    knots: list[float]
    scores: list[float]
    spread: float
    usual: float
    correlation: float
    excursion: float
    parts: int

    @property
    def scale(self) -> Scale:
        """Its normal scores."""
        return Scale.of(np.array(self.knots), np.array(self.scores), self.spread)


class RejectsBaseline(msgspec.Struct, frozen=True, kw_only=True):
    """How many of a steady line's parts failed; `rate` is the upper bound that the chart takes for steady."""

    parts: int
    failed: int
    rate: float


def fit_level(values: Sequence[float], *, finest: float) -> LevelBaseline:
    """The baseline of values in the order in which they came.

    Args:
        values: at least two, all finite.
        finest: the smallest spread that the measure can tell from none.

    Raises:
        ValueError: fewer than two values, or one that is not finite.
    """
    series = np.asarray(values, np.float64)
    if len(series) < 2 or not np.isfinite(series).all():
        raise ValueError(f"drift baseline: found {len(series)} values, expected at least 2, all finite.")
    knots, scores = quantiles(series)
    spread = max(float(series.std()), finest)
    scale = Scale.of(knots, scores, spread)
    normal = scale(series)
    correlation = _correlation(normal)
    return LevelBaseline(
        knots=knots.tolist(),
        scores=scores.tolist(),
        spread=spread,
        usual=float(np.median(series)),
        correlation=correlation,
        excursion=_excursion(normal, correlation),
        parts=len(series),
    )


def apart(good: ScoreQuantiles, line: LevelBaseline) -> float | None:
    """How far the median score of a line's good parts is from that of the calibration, in normal scores.

    None if that is no more than chance (one in a thousand) or less than a quarter: both samples' medians have
    errors, and the line's are larger where neighbours are alike.
    """
    c = line.correlation
    variance = (1 + c) / (1 - c) / line.parts + 1 / good.parts
    found = float(np.interp(line.usual, good.values, good.normal_scores))
    return found if abs(found) > max(_LEAST_APART, _BY_CHANCE * math.sqrt(_MEDIAN * variance)) else None


def fit_rejects(failed: int, parts: int) -> RejectsBaseline:
    """The baseline of a line of which so many parts failed; the rate is a bound that nine of ten keep."""
    bound = 1.0 if failed >= parts else beta_quantile(REJECTS_CONFIDENCE, failed + 1, parts)
    return RejectsBaseline(parts=parts, failed=failed, rate=min(bound, HIGHEST_REJECT_RATE))


def _correlation(normal: NDArray[np.float64]) -> float:
    """Of neighbours, with the bias of a short series taken out; 0 where it is negative."""
    centred = normal - normal.mean()
    power = float(centred @ centred)
    if power == 0.0:
        return 0.0
    found = float(centred[1:] @ centred[:-1]) / power
    return min(HIGHEST_CORRELATION, max(0.0, found + (1 + 3 * found) / len(normal)))


def _excursion(normal: NDArray[np.float64], correlation: float) -> float:
    average, most = 0.0, 0.0
    for value in residuals(normal, correlation).tolist():
        average += WEIGHT * (value - average)
        most = max(most, abs(average))
    return most


def residuals(normal: NDArray[np.float64], correlation: float) -> NDArray[np.float64]:
    """What a first-order autoregression does not foresee, in its standard deviations; (n - 1,) of (n,)."""
    return np.asarray((normal[1:] - correlation * normal[:-1]) / math.sqrt(1 - correlation**2))
