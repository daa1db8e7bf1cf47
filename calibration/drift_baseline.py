"""What a chart compares with: the values of a steady line, learned once and kept. Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from calibration.normal_scores import Scale, quantiles
from calibration.run_length import REMEMBERED, WEIGHT
from calibration.threshold import beta_quantile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from calibration.record import ScoreQuantiles

HIGHEST_INFLATION = 38.0
"""Near that of values of which the average does not move at all while it remembers them."""
INFLATION_OF_USUAL_LENGTH = 4.0
"""A baseline of a larger one needs more parts in proportion: found by simulation (docs/drift.md)."""
REJECTS_CONFIDENCE = 0.9
HIGHEST_REJECT_RATE = 0.45
_MOST_BLOCKS_HIT = 0.4
_LEAST_APART = 0.25
_BY_CHANCE = 3.29
_MEDIAN = math.pi / 2
"""Variance of a median of normal values, in that of their mean."""


class LevelBaseline(msgspec.Struct, frozen=True, kw_only=True):
    """A steady line's values of one chart.

    `knots` are quantiles, increasing, and `scores` the standard normal quantiles of the same probabilities.
    `spread` is the standard deviation, or the finest one that the measure can tell. `usual` is the median.
    `inflation` is the variance of the average of the scores in that of independent ones, 1 or more.
    """

    knots: list[float]
    scores: list[float]
    spread: float
    usual: float
    inflation: float
    parts: int

    @property
    def scale(self) -> Scale:
        """Its normal scores."""
        return Scale.of(np.array(self.knots), np.array(self.scores), self.spread)


class RejectsBaseline(msgspec.Struct, frozen=True, kw_only=True):
    """How many of a steady line's parts failed.

    The chart counts blocks of `block` parts in which any failed; `rate` is the upper bound of their share,
    which nine of ten lines keep, that it takes for steady.
    """

    parts: int
    failed: int
    block: int
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
    return LevelBaseline(
        knots=knots.tolist(),
        scores=scores.tolist(),
        spread=spread,
        usual=float(np.median(series)),
        inflation=_inflation(Scale.of(knots, scores, spread)(series)),
        parts=len(series),
    )


def needed(inflation: float, usual_parts: int) -> int:
    """Parts that a baseline needs to know a line whose average varies so much; `usual_parts` or more."""
    return math.ceil(usual_parts * max(1.0, inflation / INFLATION_OF_USUAL_LENGTH))


def apart(good: ScoreQuantiles, line: LevelBaseline) -> float | None:
    """How far the median score of a line's good parts is from that of the calibration, in normal scores.

    None if that is no more than chance (one in a thousand) or less than a quarter: both samples' medians have
    errors, and the line's are larger where neighbours are alike.
    """
    alike = (REMEMBERED * line.inflation - 1) / (REMEMBERED - line.inflation)  # of an autoregression
    variance = alike / line.parts + 1 / good.parts
    found = float(np.interp(line.usual, good.values, good.normal_scores))
    return found if abs(found) > max(_LEAST_APART, _BY_CHANCE * math.sqrt(_MEDIAN * variance)) else None


def fit_rejects(failed: Sequence[bool], *, alike: float) -> RejectsBaseline:
    """The baseline of parts that failed or not, in the order in which they came.

    Where scores wander, failures come in bunches. A block is as long as the inflation of the scores says, so
    that a bunch counts about once (declustering, as for extremes of a series: Leadbetter, "Extremes and local
    dependence in stationary sequences", 1983). It is shorter if too few blocks were without any.

    Args:
        failed: at least one.
        alike: the inflation of the scores.
    """
    block = min(max(1, round(alike)), len(failed))
    hit, blocks = _blocks_hit(failed, block)
    while block > 1 and hit > _MOST_BLOCKS_HIT * blocks:
        block -= 1
        hit, blocks = _blocks_hit(failed, block)
    bound = 1.0 if hit >= blocks else beta_quantile(REJECTS_CONFIDENCE, hit + 1, blocks)
    rate = min(bound, HIGHEST_REJECT_RATE)
    return RejectsBaseline(parts=len(failed), failed=sum(failed), block=block, rate=rate)


def _blocks_hit(failed: Sequence[bool], block: int) -> tuple[int, int]:
    """Blocks in which any part failed, and all blocks."""
    blocks = len(failed) // block
    return int(np.reshape(failed[: blocks * block], (blocks, block)).any(axis=1).sum()), blocks


def _inflation(normal: NDArray[np.float64]) -> float:
    """By the spectrum, as if the series went round: so its average needs no beginning.

    That is the variance of Zhang, "A statistical control chart for stationary process data", Technometrics 40
    (1998), whatever the correlation is like: an autoregression, a slow part under noise, a cycle.
    """
    n = len(normal)
    power = np.square(np.abs(np.fft.fft(normal - normal.mean()))) / n
    turn = np.exp(-2j * np.pi * np.arange(n) / n)
    gain = np.square(WEIGHT / np.abs(1 - (1 - WEIGHT) * turn))
    seen = 1 - REMEMBERED / n  # of the variance: the mean is the series' own
    found = float(power @ gain) / n * REMEMBERED / max(0.5, seen)
    return min(HIGHEST_INFLATION, max(1.0, found))
