"""A model's graph in FP16, with islands of FP32; inputs and outputs keep their types."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from onnx import ModelProto

LARGEST = 65504.0
"""The largest finite FP16 number."""


def to_half(model: ModelProto, islands: Collection[str]) -> ModelProto:
    """A copy in which every node computes in FP16 but those named in `islands`.

    Edges inside an island stay FP32: the converter alone would round them on the way from node to node.
    """
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16
    from onnxruntime.transformers.onnx_model import OnnxModel

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    logging.getLogger("onnxruntime.transformers").setLevel(logging.ERROR)
    half = OnnxModel(
        convert_float_to_float16(copy, keep_io_types=True, op_block_list=[], node_block_list=list(islands))
    )
    half.remove_cascaded_cast_nodes()
    half.remove_useless_cast_nodes()
    half.topological_sort()
    result: ModelProto = half.model
    _drop_twins(result)
    del result.graph.value_info[:]  # some still have the types from before
    return result


def _drop_twins(model: ModelProto) -> None:
    """Newer converters write a tensor's cast once for each of its readers, which no runtime accepts."""
    seen: set[tuple[str, ...]] = set()
    kept = []
    for node in model.graph.node:
        if tuple(node.output) not in seen:
            seen.add(tuple(node.output))
            kept.append(node)
    del model.graph.node[:]
    model.graph.node.extend(kept)
