"""The threshold for a stated false-reject rate, from scores of good parts that training did not see.

Rules:
1. Enough parts (rate * (parts + 1) >= 1): an order statistic. With the k-th largest of n scores as threshold
   the true false-reject rate is Beta(k, n + 1 - k) distributed whatever the scores' distribution (David and
   Nagaraja, "Order Statistics", 2003, 2.3), so its mean is k / (n + 1) and its bounds are exact.
2. Too few parts: no score of the sample is far enough out. The threshold then lies above the largest score,
   by an exponential fit of the upper tail (Pickands-Balkema-de Haan with shape 0: the tail of a light-tailed
   maximum). The rate is then an extrapolation, and the record says so; the upper bound stays exact, because a
   threshold above the largest of n scores is exceeded at most as often as that one.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from calibration.normal_scores import quantiles
from calibration.record import Calibration, CalibrationError, Histogram, ScoreQuantiles
from engines.records import now_utc

if TYPE_CHECKING:
    from numpy.typing import NDArray

CONFIDENCE = 0.95
HEATMAP_AT_THRESHOLD = 128.0
"""Heatmap value of a pixel exactly at the threshold; 0 is the mean pixel of good parts (raw value 0)."""
_TAIL_SHARE = 0.25
_BINS = 40


class Threshold(NamedTuple):
    """A threshold in score units, with bounds of the true false-reject rate."""

    value: float
    lower: float
    upper: float
    warning: str | None


def parts_needed(rate: float) -> int:
    """Good parts from which a rate can be read off without extrapolating: 99 for 1 %."""
    return math.ceil(1 / rate - 1 - 1e-9)


def parts_to_prove(rate: float, *, confidence: float = CONFIDENCE) -> int:
    """Good parts that prove a rate of no more than this for a threshold above all of them: 299 for 1 %.

    Of a true rate above it, so many parts would all stay below the threshold with 1 - confidence at most.
    """
    return math.ceil(math.log(1 - confidence) / math.log1p(-rate) - 1e-9)


def fit_threshold(scores: NDArray[np.float64], rate: float, *, confidence: float = CONFIDENCE) -> Threshold:
    """Threshold such that good parts at or above it are `rate` of all good parts.

    Args:
        scores: (n,) image scores of good parts that training did not see.
        rate: false-reject rate asked for, in (0, 1).
        confidence: of the two-sided (rule 1) or one-sided (rule 2) bound.

    Raises:
        CalibrationError: fewer than two scores, one that is not finite, or a rate outside (0, 1).
    """
    if not 0 < rate < 1:
        raise CalibrationError(f"false-reject rate: found {rate}, expected a number between 0 and 1.")
    ordered = np.sort(np.asarray(scores, np.float64))[::-1]
    n = len(ordered)
    if n < 2 or not np.isfinite(ordered).all():
        raise CalibrationError(f"scores of good parts: found {n}, expected at least 2, all of them finite.")
    rank = math.floor(rate * (n + 1) + 1e-9)
    if rank >= 1:
        lower = beta_quantile((1 - confidence) / 2, rank, n)
        upper = beta_quantile((1 + confidence) / 2, rank, n)
        return Threshold(float(ordered[rank - 1]), lower, upper, None)
    upper = 1 - (1 - confidence) ** (1 / n)
    warning = (
        f"{n} good parts are too few to read off a false-reject rate of {rate:.3g}: it needs "
        f"{parts_needed(rate)}. The threshold is extrapolated above the largest score by an exponential "
        f"tail; all that is certain at {confidence:.0%} is a true rate below {upper:.3g}."
    )
    return Threshold(_above_largest(ordered, rate), 0.0, float(upper), warning)


def beta_quantile(probability: float, rank: int, count: int) -> float:
    """Quantile of Beta(rank, count + 1 - rank), by bisection of P(Binomial(count, p) >= rank) over p.

    Written out so that a station calibrates without SciPy; the sum has only `rank` terms.
    """
    ways = [math.lgamma(count + 1) - math.lgamma(j + 1) - math.lgamma(count - j + 1) for j in range(rank)]
    low, high = 0.0, 1.0
    for _ in range(60):  # to double precision
        p = (low + high) / 2
        hit, miss = math.log(p), math.log1p(-p)
        below = sum(math.exp(way + j * hit + (count - j) * miss) for j, way in enumerate(ways))
        low, high = (p, high) if 1 - below < probability else (low, p)
    return (low + high) / 2


def _above_largest(ordered: NDArray[np.float64], rate: float) -> float:
    """Level of an exponential tail, started both at the tail's foot and at the largest score; the higher one.

    The largest of n stands for a rate of 1 / (n + 1); above the k-th largest the mean excess estimates the
    tail's scale (Hill's idea for an exponential tail).
    """
    n = len(ordered)
    k = min(n - 1, max(2, round(_TAIL_SHARE * n)))
    scale = max(float((ordered[:k] - ordered[k]).mean()), abs(float(ordered[0])) * 1e-6, 1e-12)
    from_foot = float(ordered[k]) + scale * math.log((k + 1) / (rate * (n + 1)))
    from_largest = float(ordered[0]) + scale * math.log(1 / (rate * (n + 1)))
    return max(from_foot, from_largest)


def calibrate(
    scores: NDArray[np.float64],
    *,
    rate: float,
    model_sha256: str,
    roi_sha256: str | None = None,
    nuisances: bool = False,
    cross_fitted: bool = False,
) -> Calibration:
    """The calibration record of one model.

    The image score is the largest value of the anomaly map, so both have the same threshold: a part fails
    exactly if a region of its map does. `roi_sha256` is that of the region of interest of the scores;
    `nuisances` says that they are those of parts with nuisances, too, `cross_fitted` that they are those of
    fits that left the parts out.

    Raises:
        CalibrationError: as `fit_threshold`, or the threshold is not above the mean pixel of good parts.
    """
    threshold = fit_threshold(scores, rate)
    if threshold.value <= 0:
        raise CalibrationError(
            f"threshold: found {threshold.value:.4g}, expected above 0, the mean pixel of good parts; the "
            "parts do not look like those of training. Check the folder, or train again."
        )
    counts, edges = np.histogram(scores, bins=_BINS)
    return Calibration(
        model_sha256=model_sha256,
        threshold=threshold.value,
        map_threshold=threshold.value,
        false_reject_rate=rate,
        false_reject_lower=threshold.lower,
        false_reject_upper=threshold.upper,
        confidence=CONFIDENCE,
        parts=len(scores),
        heatmap_scale=HEATMAP_AT_THRESHOLD / threshold.value,
        heatmap_offset=0.0,
        histogram=Histogram(edges=edges.tolist(), counts=counts.tolist()),
        created_utc=now_utc(),
        warning=threshold.warning,
        roi_sha256=roi_sha256,
        nuisances=nuisances,
        cross_fitted=cross_fitted,
        good_scores=score_quantiles(scores[scores < threshold.value]),
    )


def score_quantiles(passing: NDArray[np.float64]) -> ScoreQuantiles | None:
    """What good parts that pass score; None for fewer than two."""
    if len(passing) < 2:
        return None
    values, normal = quantiles(passing)
    return ScoreQuantiles(values=values.tolist(), normal_scores=normal.tolist(), parts=len(passing))
