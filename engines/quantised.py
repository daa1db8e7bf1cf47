"""A model's graph with convolutions of the backbone in INT8, by Q/DQ pairs that TensorRT takes.

Symmetric throughout and biases left in FP32, as TensorRT demands. The whitening stays as it is: it divides
by what good parts hardly vary in, and would multiply the rounding of INT8; for the same reason not every
convolution can be INT8. Which ones, measurement decides.
"""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from engines.engine import EngineError
from engines.islands import groups_of
from engines.selection import select
from engines.tensors import INPUT

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from onnx import ModelProto, NodeProto

    from engines.selection import Trial


class QuantisedGraph(NamedTuple):
    """The graph with Q/DQ pairs, and the names of the convolutions that they make INT8."""

    model: ModelProto
    nodes: list[str]


def choose_quantised(
    model: ModelProto,
    good: Sequence[NDArray[np.uint8]],
    trial: Trial,
    progress: Callable[[str, int, int], None],
) -> QuantisedGraph:
    """The graph with as many convolutions of the backbone in INT8 as the images allow.

    Args:
        model: FP32.
        good: raw images of good parts, whose tensors give the ranges.
        trial: what to measure on.
        progress: called with what is done, the step and how many there are.

    Raises:
        EngineError: no convolution can be INT8 within the limit.
    """
    convolutions = {node.name for node in model.graph.node if node.op_type == "Conv"}
    groups = {
        group: [node for node in nodes if node in convolutions]
        for group, nodes in groups_of(model).items()
        if group.startswith("backbone") and convolutions.intersection(nodes)
    }
    if not groups:
        raise EngineError(
            "int8: found no convolution of a backbone in the graph, expected some. Use fp16 or fp32."
        )
    progress("INT8, ranges of the tensors", 0, 1)
    every = _all_pairs(model, good, sorted({node for nodes in groups.values() for node in nodes}))
    progress("INT8, ranges of the tensors", 1, 1)

    def lower(names: Collection[str]) -> ModelProto:
        return _with_pairs(model, every, {node for name in names for node in groups[name]})

    def alone(name: str) -> ModelProto:
        return lower([name])

    found = select(groups, lower, trial, alone=alone, what="INT8, group by group", progress=progress)
    nodes = [node for group in groups if group not in found.kept for node in groups[group]]
    if not nodes:
        best = min(found.kept.values())
        raise EngineError(
            "int8: found no group of convolutions that keeps the score within "
            f"{trial.score_limit:.1%} of the "
            f"threshold with headroom (the best alone: {best:.1%}), expected some. Use fp16, or a "
            "larger --score-limit."
        )
    return QuantisedGraph(found.model, nodes)


def _all_pairs(model: ModelProto, good: Sequence[NDArray[np.uint8]], nodes: list[str]) -> ModelProto:
    """Q/DQ pairs at all of these nodes, by ONNX Runtime's quantiser."""
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # ONNX Runtime has no types
        """Hands the images over one by one."""

        def __init__(self) -> None:
            self._left = iter(good)

        def get_next(self) -> dict[str, Any] | None:
            image = next(self._left, None)
            return None if image is None else {INPUT: image}

    log = logging.getLogger()
    level = log.level
    log.setLevel(logging.ERROR)  # it advises a pre-processing that the export has done
    try:
        with tempfile.TemporaryDirectory() as directory:
            source, path = Path(directory) / "model.onnx", Path(directory) / "quantised.onnx"
            onnx.save(
                model, source
            )  # by path: it moves the weights of a model in memory into a file of its own
            quantize_static(
                source,
                path,
                Reader(),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=["Conv"],
                nodes_to_quantize=nodes,
                per_channel=True,
                activation_type=QuantType.QInt8,
                weight_type=QuantType.QInt8,
                extra_options={"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False},
            )
            result: ModelProto = onnx.load(path)
            return result
    finally:
        log.setLevel(level)


def _with_pairs(model: ModelProto, every: ModelProto, nodes: Collection[str]) -> ModelProto:
    """The FP32 graph, where only these nodes read their data and weights through the pairs of `every`."""
    import onnx

    result = onnx.ModelProto()
    result.CopyFrom(model)
    quantised = {node.name: node for node in every.graph.node}
    makers = {name: node for node in every.graph.node for name in node.output}
    ordered: list[NodeProto] = []
    added: dict[str, NodeProto] = {}
    for node in result.graph.node:
        if node.name in nodes:
            for index in (0, 1):
                name = quantised[node.name].input[index]
                for pair in _pair(makers, name):
                    if pair.name not in added:
                        added[pair.name] = pair
                        ordered.append(pair)
                node.input[index] = name
        ordered.append(node)
    del result.graph.node[:]
    result.graph.node.extend(ordered)
    known = {tensor.name for tensor in result.graph.initializer}
    wanted = {name for pair in added.values() for name in pair.input} - known
    result.graph.initializer.extend(t for t in every.graph.initializer if t.name in wanted)
    read = {name for node in ordered for name in node.input}
    unread = [tensor for tensor in result.graph.initializer if tensor.name not in read]
    for tensor in unread:
        result.graph.initializer.remove(tensor)
    return result


def _pair(makers: dict[str, NodeProto], name: str) -> list[NodeProto]:
    """The dequantiser that makes a tensor, after its quantiser if it has one (a weight is stored in INT8)."""
    dequantise = makers[name]
    assert dequantise.op_type == "DequantizeLinear"
    quantise = makers.get(dequantise.input[0])
    return [dequantise] if quantise is None else [quantise, dequantise]
