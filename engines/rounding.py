"""What a graph with FP16 in it computes, on a CPU: every FP16 tensor is really rounded to FP16.

ONNX Runtime has hardly any FP16 operator for a CPU. It computes such a graph in FP32 behind casts of its
own, which it takes away again between two operators: neither overflow nor rounding would be seen. Here each
operator runs in FP32 and the casts are written into the graph, where they stay. What this cannot show is
the order and width of a GPU's own sums inside one operator.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from onnx import ModelProto, NodeProto


def rounded(model: ModelProto) -> ModelProto:
    """The same graph in FP32, with each tensor that was FP16 cast to FP16 and back where it is made.

    Names of nodes and tensors stay; tensors that were FP16 hold the rounded values as float32.
    """
    import numpy as np
    import onnx
    from onnx import TensorProto, numpy_helper, shape_inference

    typed = shape_inference.infer_shapes(model, strict_mode=True)
    half = {
        value.name
        for value in (*typed.graph.value_info, *typed.graph.output, *typed.graph.input)
        if value.type.tensor_type.elem_type == TensorProto.FLOAT16
    }
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    for tensor in graph.initializer:
        if tensor.data_type == TensorProto.FLOAT16:
            values = numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    nodes: list[NodeProto] = []
    for node in graph.node:
        if node.op_type == "Cast":
            for attribute in node.attribute:
                if attribute.name == "to" and attribute.i == TensorProto.FLOAT16:
                    attribute.i = TensorProto.FLOAT
        nodes.append(node)
        for index, name in enumerate(node.output):
            if name in half:
                node.output[index] = f"{name}/exact"
                nodes += _casts(f"{name}/exact", name)
    del graph.node[:]
    graph.node.extend(nodes)
    del graph.value_info[:]
    for value in (*graph.output, *graph.input):
        if value.type.tensor_type.elem_type == TensorProto.FLOAT16:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    return result


def rounded_nodes(model: ModelProto, names: Collection[str]) -> ModelProto:
    """An FP32 graph in which only these nodes compute as if in FP16: what goes in and out is rounded.

    The same values as `rounded` of a graph with all other nodes as islands, without the converter's time: for
    trying many groups of nodes.
    """
    import numpy as np
    import onnx
    from onnx import TensorProto, numpy_helper, shape_inference

    typed = shape_inference.infer_shapes(model, strict_mode=True).graph
    values = (*typed.value_info, *typed.output)
    floats = {value.name for value in values if value.type.tensor_type.elem_type == TensorProto.FLOAT}
    weights = {t.name: t for t in model.graph.initializer if t.data_type == TensorProto.FLOAT}
    result = onnx.ModelProto()
    result.CopyFrom(model)
    nodes: list[NodeProto] = []
    known: set[str] = set()
    for node in result.graph.node:
        if node.name not in names:
            nodes.append(node)
            continue
        for index, name in enumerate(node.input):
            if name in weights or name in floats:
                node.input[index] = f"{name}/in"
            if name in weights and name not in known:
                half = numpy_helper.to_array(weights[name]).astype(np.float16).astype(np.float32)
                result.graph.initializer.append(numpy_helper.from_array(half, f"{name}/in"))
            elif name in floats and name not in known:
                nodes += _casts(name, f"{name}/in")
            known.add(name)
        nodes.append(node)
        for index, name in enumerate(node.output):
            if name in floats:
                node.output[index] = f"{name}/exact"
                nodes += _casts(f"{name}/exact", name)
    del result.graph.node[:]
    result.graph.node.extend(nodes)
    return result


def _casts(source: str, target: str) -> list[NodeProto]:
    """To FP16 and back."""
    from onnx import TensorProto, helper

    return [
        helper.make_node("Cast", [source], [f"{target}/half"], to=TensorProto.FLOAT16),
        helper.make_node("Cast", [f"{target}/half"], [target], to=TensorProto.FLOAT),
    ]
