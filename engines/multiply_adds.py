"""How many multiply-adds one image costs: counted on the exported graph, the unit of a roofline."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from engines.engine import EngineError

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

    Shapes = dict[str, tuple[int, ...]]


def multiply_adds(onnx: bytes) -> dict[str, int]:
    """Multiply-adds of one inference by type of operator: Conv, MatMul and Gemm; the rest is small.

    Raises:
        EngineError: the bytes are no ONNX model, or a shape is not static.
    """
    import onnx as onnx_package
    from google.protobuf.message import DecodeError

    try:
        model = onnx_package.shape_inference.infer_shapes(
            onnx_package.load_from_string(onnx), strict_mode=True
        )
    except (DecodeError, onnx_package.shape_inference.InferenceError) as error:
        raise EngineError(f"model.onnx: its shapes cannot be read ({error}). Export it again.") from error
    shapes = _shapes(model)
    total: dict[str, int] = {}
    for node in model.graph.node:
        if node.op_type in _COUNTS:
            total[node.op_type] = total.get(node.op_type, 0) + _COUNTS[node.op_type](node, shapes)
    return total


def _shapes(model: ModelProto) -> Shapes:
    values = [*model.graph.input, *model.graph.output, *model.graph.value_info]
    found = {v.name: tuple(d.dim_value for d in v.type.tensor_type.shape.dim) for v in values}
    return found | {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}


def _of(name: str, node: NodeProto, shapes: Shapes) -> tuple[int, ...]:
    shape = shapes.get(name, ())
    if not shape or 0 in shape:
        raise EngineError(
            f"model.onnx: node {node.name!r}: found no static shape for tensor {name!r}, expected one. "
            "Export it again."
        )
    return shape


def _convolution(node: NodeProto, shapes: Shapes) -> int:
    """Every output value is a sum over the kernel and the input channels of its group."""
    weight = _of(node.input[1], node, shapes)
    return math.prod(_of(node.output[0], node, shapes)) * math.prod(weight[1:])


def _product(node: NodeProto, shapes: Shapes) -> int:
    return math.prod(_of(node.output[0], node, shapes)) * _of(node.input[0], node, shapes)[-1]


def _general_product(node: NodeProto, shapes: Shapes) -> int:
    transposed = any(a.name == "transA" and a.i for a in node.attribute)
    inner = _of(node.input[0], node, shapes)[0 if transposed else 1]
    return math.prod(_of(node.output[0], node, shapes)) * inner


_COUNTS = {"Conv": _convolution, "MatMul": _product, "Gemm": _general_product}
