"""Which stage of the network lost the range: tensors at the borders of stages, of two graphs, on the CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from engines.graph_runner import GraphRunner
from engines.stages import STAGES, stages_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from onnx import ModelProto

JUMP = 3.0
"""A stage lost the range if its relative error is so many times that of the stages before it."""
_LOST = 0.1
"""Relative error from which on a stage, and not the one that is no longer finite after it, is to blame."""
_NOISE = 1e-5
"""Relative error of FP32 itself."""


def stage_errors(
    reference: ModelProto, found: ModelProto, images: Sequence[NDArray[np.uint8]], *, threads: int
) -> dict[str, float]:
    """Stage -> largest relative error (root mean square) of a tensor that leaves it; inf if not finite.

    Args:
        reference: FP32 graph.
        found: the same graph in FP16 or INT8, with the same names of nodes.
        images: raw images.
        threads: of the CPU.
    """
    stages = stages_of(reference)
    border = _border(reference, stages)
    runners = [GraphRunner(graph, threads=threads, taps=border) for graph in (reference, found)]
    errors: dict[str, float] = {}
    for image in images:
        expected, values = (runner.tapped(image) for runner in runners)
        for node in border:
            if node in expected and node in values:
                error = _relative(values[node], expected[node])
                errors[stages[node]] = max(errors.get(stages[node], 0.0), error)
    return {stage: errors[stage] for stage in STAGES if stage in errors}


def first_lost(errors: dict[str, float]) -> str | None:
    """The stage where the error jumps most, or the first that is not finite; None for no jump."""
    before, best, worst = _NOISE, None, JUMP
    for stage, error in errors.items():
        if not np.isfinite(error):
            return best if best is not None and errors[best] > _LOST else stage
        if error / before > worst:
            best, worst = stage, error / before
        before = max(before, error)
    return best


def _border(model: ModelProto, stages: dict[str, str]) -> list[str]:
    """Nodes whose tensor a later stage reads, or that is an output."""
    maker = {name: node.name for node in model.graph.node for name in node.output[:1]}
    border = {maker[value.name] for value in model.graph.output if value.name in maker}
    for node in model.graph.node:
        border.update(
            maker[name] for name in node.input if name in maker and stages[maker[name]] != stages[node.name]
        )
    return [node.name for node in model.graph.node if node.name in border]


def _relative(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    if not np.isfinite(found).all():
        return float("inf")
    scale = float(np.sqrt(np.mean(np.square(expected, dtype=np.float64))))
    error = float(np.sqrt(np.mean(np.square(found.astype(np.float64) - expected))))
    return error / max(scale, 1e-12)
