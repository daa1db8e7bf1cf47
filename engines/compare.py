"""Does a built engine still compute what the model computes? Both run on the same images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from engines.engine import EngineOutput

ROUNDING = 1e-4
"""Relative distance of a reference score from the threshold within which no verdict is defined.

A threshold is often a score itself, that of the worst good part. Two FP32 runtimes differ in its last
digits, so which side they put that part on says nothing of either.
"""


class ScoreLimit(msgspec.Struct, frozen=True):
    """Largest score error allowed: a share of the threshold, or of the score where that is larger."""

    share: float
    of: Literal["threshold", "score"] = "threshold"

    def __str__(self) -> str:
        larger = " or of the score where that is larger" if self.of == "score" else ""
        return f"{self.share:.1%} of the threshold{larger}"


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Errors of an engine against the reference, in raw units of the score, under the region of interest.

    `relative_error_max` is the largest score error as a share of the threshold, or of the reference's score
    where that is larger.
    `verdict_flips` counts images on different sides of the threshold, `undecided` those of them that do not
    count because the reference's score is within `ROUNDING` of it, `non_finite` images whose map or score the
    engine under test could not make finite.
    """

    images: int
    threshold: float
    score_error_max: float
    score_error_mean: float
    relative_error_max: float
    map_error_max: float
    map_error_mean: float
    verdict_flips: int
    undecided: int
    non_finite: int

    def share(self, limit: ScoreLimit) -> float:
        """The largest score error, in what the limit is a share of."""
        return self.relative_error_max if limit.of == "score" else self.score_error_max / abs(self.threshold)

    def failure(self, limit: ScoreLimit) -> str | None:
        """Why the engine must not be used, None if it may."""
        if self.non_finite:
            return f"found {self.non_finite} of {self.images} images with a map or score that is not finite"
        if self.verdict_flips:
            return f"found {self.verdict_flips} of {self.images} verdicts changed, expected none"
        found = self.share(limit)
        if not found <= limit.share:
            return (
                f"found a score error of {found:.2%} ({self.score_error_max:.3g} at most, threshold "
                f"{self.threshold:.3g}), expected at most {limit}"
            )
        return None


def compare(
    found: Callable[[NDArray[np.uint8]], EngineOutput],
    reference: Callable[[NDArray[np.uint8]], EngineOutput],
    images: Iterable[NDArray[np.uint8]],
    *,
    threshold: float,
) -> Comparison:
    """Run both on every image, raw and uint8.

    Args:
        found: result of the engine under test for an image, under the region of interest if there is one.
        reference: the same of the FP32 reference.
        images: each the engines' raw image shape.
        threshold: of the score.

    Raises:
        EngineError: an image has the wrong shape, or a runtime failed.
        ValueError: there is no image.
    """
    pairs = [(found(image), reference(image)) for image in images]
    return compared(pairs, threshold=threshold)


def compared(pairs: Sequence[tuple[EngineOutput, EngineOutput]], *, threshold: float) -> Comparison:
    """Errors of results, each the engine's and the reference's.

    Raises:
        ValueError: there is none.
    """
    if not pairs:
        raise ValueError("compare: found no image, expected at least one")
    finite = [pair for pair in pairs if np.isfinite(pair[0].score) and np.isfinite(pair[0].anomaly_map).all()]
    scores = np.array([(found.score, expected.score) for found, expected in finite]).reshape(-1, 2)
    maps = [np.abs(found.anomaly_map - expected.anomaly_map) for found, expected in finite]
    changed = (scores[:, 0] < threshold) != (scores[:, 1] < threshold)
    undecided = changed & (np.abs(scores[:, 1] - threshold) <= ROUNDING * abs(threshold))
    errors = np.abs(scores[:, 0] - scores[:, 1])
    shares = errors / np.maximum(np.abs(scores[:, 1]), abs(threshold))
    none = float("nan")
    return Comparison(
        images=len(pairs),
        threshold=threshold,
        score_error_max=float(errors.max(initial=0.0)) if finite else none,
        score_error_mean=float(errors.mean()) if finite else none,
        relative_error_max=float(shares.max(initial=0.0)) if finite else none,
        map_error_max=max((float(m.max()) for m in maps), default=none),
        map_error_mean=float(np.mean([m.mean() for m in maps])) if finite else none,
        verdict_flips=int((changed & ~undecided).sum()),
        undecided=int(undecided.sum()),
        non_finite=len(pairs) - len(finite),
    )
