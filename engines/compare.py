"""Does a built engine still compute what the model computes? Both run on the same images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from engines.engine import Engine


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Errors of an engine against the reference, in raw units of the score.

    `verdict_flips` counts images on different sides of the threshold, `non_finite` images whose map or score
    the engine under test could not make finite.
    """

    images: int
    threshold: float
    score_error_max: float
    score_error_mean: float
    map_error_max: float
    map_error_mean: float
    verdict_flips: int
    non_finite: int

    def failure(self, *, score_limit: float) -> str | None:
        """Why the engine must not be used, None if it may; `score_limit` is a fraction of the threshold."""
        if self.non_finite:
            return f"found {self.non_finite} of {self.images} images with a map or score that is not finite"
        if self.verdict_flips:
            return f"found {self.verdict_flips} of {self.images} verdicts changed, expected none"
        if not self.score_error_max <= score_limit * abs(self.threshold):
            return (
                f"found a score error of {self.score_error_max:.3g}, expected at most "
                f"{score_limit:.1%} of the threshold {self.threshold:.3g}"
            )
        return None


def compare(
    engine: Engine, reference: Engine, images: Iterable[NDArray[np.uint8]], *, threshold: float
) -> Comparison:
    """Run both engines on every image, each the engines' raw image shape, uint8.

    Raises:
        EngineError: an image has the wrong shape, or a runtime failed.
        ValueError: there is no image.
    """
    score_errors, map_maxima, map_means = [], [], []
    flips = non_finite = 0
    for image in images:
        found, expected = engine.infer(image), reference.infer(image)
        if not (np.isfinite(found.score) and np.isfinite(found.anomaly_map).all()):
            non_finite += 1
            continue
        difference = np.abs(found.anomaly_map - expected.anomaly_map)
        score_errors.append(abs(found.score - expected.score))
        map_maxima.append(float(difference.max()))
        map_means.append(float(difference.mean()))
        flips += (found.score < threshold) != (expected.score < threshold)
    if not score_errors and not non_finite:
        raise ValueError("compare: found no image, expected at least one")
    return Comparison(
        images=len(score_errors) + non_finite,
        threshold=threshold,
        score_error_max=max(score_errors, default=float("nan")),
        score_error_mean=float(np.mean(score_errors)) if score_errors else float("nan"),
        map_error_max=max(map_maxima, default=float("nan")),
        map_error_mean=float(np.mean(map_means)) if map_means else float("nan"),
        verdict_flips=flips,
        non_finite=non_finite,
    )
