"""A threshold from what people say of rejected parts. Pure.

Rules:
1. It never lies above a score that was marked really bad, but for the `accepted_misses` lowest of these.
2. Below that it lies just above the highest false reject that can be accepted, and never below the old one
   unless rule 1 wants it.
3. Without a part that was marked bad nothing says what a higher threshold would miss: there is no proposal.
4. What is lower than good parts allow at the rate that was asked for is said.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from calibration.record import CalibrationError, Review
from calibration.threshold import CONFIDENCE, HEATMAP_AT_THRESHOLD, beta_quantile, score_quantiles

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from calibration.marks import Mark
    from calibration.record import Calibration

ABOVE = 0.01
"""A threshold lies this share above a false reject, which an engine's own error cannot bridge."""
FEW_BAD = 20
"""Fewer parts marked bad bound the misses by no less than 14 %."""


class Marked(NamedTuple):
    """Scores by mark, (n,) float64 each, and what was left out, in words."""

    bad: NDArray[np.float64]
    false_rejects: NDArray[np.float64]
    left_out: list[str]


class Proposal(NamedTuple):
    """A threshold, why it is not another one, and what a person must know before taking it."""

    value: float
    warnings: list[str]


class Effect(NamedTuple):
    """What a threshold does: to good parts, with exact bounds, to what was marked, and to past parts.

    `miss_bound`: at 95 % confidence at most this share of bad parts like those marked score below the lowest
    of these, and so below the threshold where it misses none of them.
    """

    threshold: float
    good_rejected: int
    good: int
    lower: float
    upper: float
    false_rejects_left: int
    bad_missed: int
    miss_bound: float
    past_rejected: int
    past: int


def sort_marks(marks: Iterable[Mark], model_sha256: str) -> Marked:
    """The marks that say something of this model's scores.

    Marks of another model, and of parts without a score, are left out by name.
    """
    bad: list[float] = []
    false_rejects: list[float] = []
    left_out: list[str] = []
    for mark in marks:
        if mark.model_sha256 != model_sha256:
            model = "no model" if mark.model_sha256 is None else f"model {mark.model_sha256[:12]}"
            left_out.append(f"{mark.result_id}: judged by {model}, not by {model_sha256[:12]}")
        elif mark.score is None or not math.isfinite(mark.score):
            left_out.append(f"{mark.result_id}: it has no score")
        else:
            (bad if mark.mark == "really_bad" else false_rejects).append(mark.score)
    return Marked(np.sort(np.array(bad)), np.sort(np.array(false_rejects)), left_out)


def propose(
    marked: Marked, good: NDArray[np.float64], *, old: float, rate: float, accepted_misses: int = 0
) -> Proposal:
    """The threshold that the marks ask for.

    Args:
        marked: scores by mark.
        good: (n,) scores of good parts that training did not see.
        old: the threshold in force.
        rate: false-reject rate that was asked for, in (0, 1).
        accepted_misses: parts marked bad that may be accepted from now on.

    Raises:
        CalibrationError: no part was marked bad, or the lowest of them is not above 0.
    """
    if not len(marked.bad):
        raise CalibrationError(
            "marks: found no part marked really bad, expected at least one: nothing says what another "
            "threshold would miss. Mark bad parts, too."
        )
    cap = float(marked.bad[accepted_misses]) if accepted_misses < len(marked.bad) else math.inf
    can_pass = marked.false_rejects[marked.false_rejects < cap]
    above = old
    if len(can_pass):
        highest = float(can_pass[-1])
        above = min(highest * (1 + ABOVE), (highest + cap) / 2)
        above = above if highest < above else cap  # neighbours in float64
    value = min(cap, max(old, above))
    if value <= 0:
        raise CalibrationError(
            f"marks: found a really bad part with a score of {value:.4g}, expected more than 0, the mean "
            "pixel of good parts: no threshold tells it from them. Look whether it was marked by mistake."
        )
    return Proposal(value, _warnings(value, marked, good, rate))


def _warnings(value: float, marked: Marked, good: NDArray[np.float64], rate: float) -> list[str]:
    found = []
    least = lowest_for(good, rate)
    if value < least:
        found.append(
            f"{value:.4f} lies below {least:.4f}, which good parts need for a false-reject rate of "
            f"{rate:.2%} ({(1 + CONFIDENCE) / 2:.1%} confidence): more of them will be rejected."
        )
    left = int((marked.false_rejects >= value).sum())
    if left:
        found.append(
            f"{left} of {len(marked.false_rejects)} false rejects score as high as bad parts: no threshold "
            "tells them apart. Train with parts like them."
        )
    if len(marked.bad) < FEW_BAD:
        found.append(
            f"{len(marked.bad)} parts marked bad are few, expected {FEW_BAD}: see the bound of misses."
        )
    return found


def lowest_for(good: NDArray[np.float64], rate: float, *, confidence: float = CONFIDENCE) -> float:
    """Lower bound of the threshold that good parts need for a false-reject rate, by order statistics.

    Below it more than `rate` of good parts are rejected, with (1 + confidence) / 2 of confidence; -inf if
    there are too few parts to say so.
    """
    ordered = np.sort(good)[::-1]
    n = len(ordered)
    for rank in range(1, n + 1):
        if beta_quantile((1 - confidence) / 2, rank, n) > rate:
            return float(ordered[rank - 1])
    return -math.inf


def effect(threshold: float, marked: Marked, good: NDArray[np.float64], past: NDArray[np.float64]) -> Effect:
    """What this threshold would do; `past` are the (n,) scores of parts that the line judged."""
    n, rejected = len(good), int((good >= threshold).sum())
    return Effect(
        threshold=threshold,
        good_rejected=rejected,
        good=n,
        lower=beta_quantile((1 - CONFIDENCE) / 2, rejected, n) if rejected else 0.0,
        upper=beta_quantile((1 + CONFIDENCE) / 2, rejected + 1, n) if rejected < n else 1.0,
        false_rejects_left=int((marked.false_rejects >= threshold).sum()),
        bad_missed=int((marked.bad < threshold).sum()),
        miss_bound=1 - (1 - CONFIDENCE) ** (1 / len(marked.bad)) if len(marked.bad) else 1.0,
        past_rejected=int((past >= threshold).sum()),
        past=len(past),
    )


def reviewed(
    calibration: Calibration, found: Effect, good: NDArray[np.float64], review: Review
) -> Calibration:
    """The calibration with the threshold of a review, and where that comes from."""
    return msgspec.structs.replace(
        calibration,
        threshold=found.threshold,
        map_threshold=found.threshold,
        false_reject_lower=found.lower,
        false_reject_upper=found.upper,
        parts=found.good,
        heatmap_scale=HEATMAP_AT_THRESHOLD / found.threshold,
        warning=None,
        good_scores=score_quantiles(good[good < found.threshold]),
        review=review,
    )
