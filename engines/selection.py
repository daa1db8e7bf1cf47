"""Which groups of nodes may run at a lower precision, chosen by measurement on images of the part.

Each group is tried alone at the lower precision, all else FP32. Errors of rounding are nearly independent,
so their squares add: the groups with the largest stay FP32 until what is left is below the target. Then the
whole graph is measured on all images, and further groups stay FP32 while that disagrees.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from engines.graph_runner import GraphRunner

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from numpy.typing import NDArray
    from onnx import ModelProto

    Lower = Callable[[Collection[str]], ModelProto]

HEADROOM = 0.5
"""Share of the limit that the graph's own rounding may use up; the rest is for the order of a GPU's sums."""
QUICK_IMAGES = 6
"""On which groups are tried alone."""


class Trial(NamedTuple):
    """Images, what FP32 scores on them, and the units of the error.

    Images with the highest scores come first: rounding is relative, so their errors are the largest.
    """

    images: Sequence[NDArray[np.uint8]]
    expected: NDArray[np.float64]
    threshold: float
    score_limit: float
    threads: int

    @classmethod
    def of(
        cls,
        model: ModelProto,
        images: Sequence[NDArray[np.uint8]],
        *,
        threshold: float,
        score_limit: float,
        threads: int,
    ) -> Trial:
        """Score the images with the FP32 graph."""
        reference = GraphRunner(model, threads=threads)
        scores = np.array([reference.infer(image).score for image in images])
        order = np.argsort(-scores, kind="stable")
        ordered = [images[index] for index in order]
        return cls(ordered, scores[order], threshold, score_limit, threads)

    def error(self, model: ModelProto, count: int | None = None) -> float:
        """Largest score error on the first `count` images, as a share of the threshold; inf if not finite."""
        runner = GraphRunner(model, threads=self.threads)
        found = np.array([runner.infer(image).score for image in self.images[:count]])
        errors = np.abs(found - self.expected[:count]) / abs(self.threshold)
        return float(errors.max()) if np.isfinite(errors).all() else float("inf")


class Selection(NamedTuple):
    """The graph, the groups that stay FP32 with their error alone, and the whole graph's error."""

    model: ModelProto
    kept: dict[str, float]
    error: float


def select(
    groups: Collection[str],
    lower: Lower,
    trial: Trial,
    *,
    alone: Callable[[str], ModelProto],
    what: str,
    progress: Callable[[str, int, int], None],
) -> Selection:
    """Lower the precision of as many groups as the limit allows.

    Args:
        groups: names.
        lower: gives the graph with these groups at the lower precision.
        alone: gives a graph that computes what `lower` of one group does.
        trial: what to measure on.
        what: for the progress.
        progress: called with what is done, the step and how many there are.

    Raises:
        EngineError: ONNX Runtime cannot run a graph.
    """
    target = HEADROOM * trial.score_limit
    errors = {}
    for done, group in enumerate(groups):
        progress(what, done, len(groups))
        errors[group] = trial.error(alone(group), QUICK_IMAGES)
    progress(what, len(groups), len(groups))
    order = sorted(errors, key=lambda group: errors[group], reverse=True)
    count = next(
        (n for n in range(len(order)) if sum(errors[group] ** 2 for group in order[n:]) <= target**2),
        len(order),
    )
    while True:
        model = lower(order[count:])
        error = trial.error(model)
        if error <= target or count == len(order):
            return Selection(model, {group: errors[group] for group in order[:count]}, error)
        count += 1


def why(alone: float, precision: str) -> str:
    """Why a group stays FP32, for the sidecar."""
    if not np.isfinite(alone):
        return f"alone in {precision} the score is not finite"
    return f"alone in {precision}: score error {alone:.2%} of the threshold"
