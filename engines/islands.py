"""Which nodes stay FP32 in an FP16 graph: by measurement, and where a sum could leave the range.

How wide a GPU sums inside one operator a CPU cannot show, so sums that come near FP16's end stay FP32
untried.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from engines.graph_runner import GraphRunner
from engines.half import LARGEST, to_half
from engines.rounding import rounded_nodes
from engines.selection import QUICK_IMAGES, Trial, select, why
from engines.sidecar import Island
from engines.stages import stages_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from numpy.typing import NDArray
    from onnx import ModelProto, NodeProto

RANGE_HEADROOM = 4.0
"""How much larger than on the images tried a sum may become before it leaves the range."""
_SUMS = {"ReduceMean", "ReduceSum", "AveragePool", "ReduceSumSquare", "GlobalAveragePool"}


class HalfGraph(NamedTuple):
    """The FP16 graph and its islands."""

    model: ModelProto
    islands: list[Island]


def choose_half(model: ModelProto, trial: Trial, progress: Callable[[str, int, int], None]) -> HalfGraph:
    """The FP16 form of a graph with as few islands of FP32 as the images demand.

    Args:
        model: FP32.
        trial: what to measure on.
        progress: called with what is done, the step and how many there are.

    Raises:
        EngineError: ONNX Runtime cannot run the graph.
    """
    islands = _large_weights(model) + _large_sums(model, trial.images[:QUICK_IMAGES], threads=trial.threads)
    fixed = {node for island in islands for node in island.nodes}
    groups = groups_of(model)

    def lower(names: Collection[str]) -> ModelProto:
        half = {node for name in names for node in groups[name]} - fixed
        return to_half(model, {node.name for node in model.graph.node} - half)

    def alone(name: str) -> ModelProto:
        return rounded_nodes(model, set(groups[name]) - fixed)

    found = select(groups, lower, trial, alone=alone, what="FP16, group by group", progress=progress)
    islands += [Island(group=g, nodes=groups[g], why=why(alone, "FP16")) for g, alone in found.kept.items()]
    return HalfGraph(found.model, islands)


def groups_of(model: ModelProto) -> dict[str, list[str]]:
    """Nodes by the stage they belong to, those of the backbone by its blocks."""
    stages = stages_of(model)
    weights = {tensor.name for tensor in model.graph.initializer}
    made: dict[str, str] = {}
    groups: dict[str, list[str]] = {}
    for node in model.graph.node:
        group = stages[node.name]
        if group == "backbone":
            group = _block(node, weights) or next((made[n] for n in node.input if n in made), group)
            made.update(dict.fromkeys(node.output, group))
        groups.setdefault(group, []).append(node.name)
    return groups


def _block(node: NodeProto, weights: set[str]) -> str | None:
    """`backbone.blocks.3` of `backbone.blocks.3.layers.0.weight`: up to the first number."""
    for name in node.input:
        if name in weights and name.startswith("backbone."):
            found = re.match(r"backbone\.\D*?\d+(?=[._])|backbone\.[^.]+", name)
            return found.group(0) if found else None
    return None


def _large_weights(model: ModelProto) -> list[Island]:
    """Nodes with a weight that FP16 has no number for."""
    from onnx import numpy_helper

    large = {
        tensor.name: float(np.abs(numpy_helper.to_array(tensor)).max(initial=0.0))
        for tensor in model.graph.initializer
        if tensor.data_type == tensor.FLOAT
    }
    worst = {
        node.name: max((large.get(n, 0.0) for n in node.input), default=0.0) for node in model.graph.node
    }
    return [
        Island(group="range", nodes=[name], why=f"a weight of {found:.3g}, FP16 ends at {LARGEST:.0f}")
        for name, found in worst.items()
        if found > LARGEST
    ]


def _large_sums(model: ModelProto, images: Sequence[NDArray[np.uint8]], *, threads: int) -> list[Island]:
    """Nodes whose sums come near the end of FP16's range on the images."""
    makers = {name: node.name for node in model.graph.node for name in node.output}
    sources = {
        node.name: makers[node.input[0]]
        for node in model.graph.node
        if node.op_type in _SUMS and node.input[0] in makers
    }
    runner = GraphRunner(model, threads=threads, taps=[*sources, *sources.values()])
    reach = dict.fromkeys(sources, 0.0)
    for image in images:
        tensors = runner.tapped(image)
        for name, source in sources.items():
            terms = tensors[source].size / max(tensors[name].size, 1)
            reach[name] = max(reach[name], float(np.abs(tensors[source]).max(initial=0.0)) * terms)
    return [
        Island(group="range", nodes=[name], why=f"its sums reached {found:.3g}, FP16 ends at {LARGEST:.0f}")
        for name, found in reach.items()
        if not found * RANGE_HEADROOM <= LARGEST
    ]
