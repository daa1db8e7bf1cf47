"""Which part of the network a node of the exported graph belongs to.

The exporter keeps the network's own names on its weights only, and folds some of those. So a node belongs
to the stage that its weights name or its operation shows, and otherwise to the furthest stage that its
inputs come from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

STAGES = ("views", "backbone", "alignment", "whitening", "distance", "terms", "fusion", "score")
"""In the order of the data: raw image to views, features, their residual, its whitening, squares and their
root, shares of the anomaly map, the sum of them, its maximum."""

_WORDS = {
    "backbone.": "backbone",
    ".whitening.": "whitening",
    ".reliability.": "terms",
    ".offset": "terms",
    ".gain": "terms",
    ".standardise": "alignment",
    ".ridge": "alignment",
    ".guidance.": "alignment",
}
_BY_TYPE = {"ReduceMax": "score", "Sqrt": "distance", "Log": "terms", "Exp": "terms"}


def stages_of(model: ModelProto) -> dict[str, str]:
    """Node name -> one of `STAGES`.

    Nodes of a graph without the network's names are "views", but for what their operation shows.
    """
    weights = {tensor.name: len(tensor.dims) for tensor in model.graph.initializer}
    made: dict[str, str] = {}
    found = {}
    for node in model.graph.node:
        stage = _stage(node, weights, [made[name] for name in node.input if name in made])
        found[node.name] = stage
        made.update(dict.fromkeys(node.output, stage))
    return found


def _stage(node: NodeProto, weights: dict[str, int], inputs: list[str]) -> str:
    before = max(inputs, key=STAGES.index, default=STAGES[0])
    named = [
        stage for name in node.input if name in weights for word, stage in _WORDS.items() if word in name
    ]
    if node.op_type == "MatMul" and before == "alignment" and any(weights.get(n) == 3 for n in node.input):
        own = "whitening"  # a root for each position, whose name folding took away
    elif node.op_type == "Mul" and len(set(node.input)) == 1:
        own = "distance"
    elif before == "terms" and node.op_type in {"Resize", "Concat", "Unsqueeze"} and not named:
        own = "fusion"
    else:
        own = named[0] if named else _BY_TYPE.get(node.op_type, before)
    return max(before, own, key=STAGES.index)
