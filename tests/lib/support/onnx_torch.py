"""An exported graph by PyTorch, node for node, on a GPU: what a runtime is given, computed there.

Of the operators only those that our graphs have. Shapes and bounds are read when it is made, so that a run
waits for nothing and can be captured as a CUDA graph.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable

    Step = Callable[..., Any]


class OnnxTorch(torch.nn.Module):
    """Takes the raw image, gives anomaly map and score.

    Args:
        data: the ONNX file's bytes.
        device: where it is computed.

    Raises:
        KeyError: the graph has an operator that is not known here.
    """

    def __init__(self, data: bytes, device: str) -> None:
        super().__init__()
        graph = onnx.load_from_string(data).graph
        self._input = graph.input[0].name
        self._outputs = [output.name for output in graph.output]
        self._given = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
        for node in graph.node:  # a graph in FP16 casts its bounds
            if node.op_type == "Cast" and node.input[0] in self._given:
                to = helper.tensor_dtype_to_np_dtype(helper.get_node_attr_value(node, "to"))
                self._given[node.output[0]] = self._given[node.input[0]].astype(to)
        self._tensors = {
            name: torch.from_numpy(value.copy()).to(device) for name, value in self._given.items()
        }
        self._steps = [self._step(node) for node in graph.node if node.output[0] not in self._given]

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        values: dict[str, Any] = {**self._tensors, self._input: image}
        for step, inputs, outputs in self._steps:
            result = step(*(values[name] for name in inputs))
            values.update(zip(outputs, result if isinstance(result, tuple) else (result,), strict=False))
        return tuple(values[name] for name in self._outputs)

    def _step(self, node: onnx.NodeProto) -> tuple[Step, list[str], list[str]]:
        options = {item.name: helper.get_attribute_value(item) for item in node.attribute}
        constants = [self._given.get(name) for name in node.input]
        if node.op_type in _ELEMENTWISE:
            return _ELEMENTWISE[node.op_type], list(node.input), list(node.output)
        step, tensors = _MAKERS[node.op_type](options, constants, len(node.output))
        return step, list(node.input)[:tensors], list(node.output)


_ELEMENTWISE: dict[str, Step] = {
    "Add": torch.add,
    "Div": torch.div,
    "Exp": torch.exp,
    "Log": torch.log,
    "MatMul": torch.matmul,
    "Mul": torch.mul,
    "Relu": torch.relu,
    "Sigmoid": torch.sigmoid,
    "Sqrt": torch.sqrt,
    "Sub": torch.sub,
}


def _padded(options: dict[str, Any], fill: float) -> Step:
    top, left, bottom, right = options.get("pads", [0, 0, 0, 0])
    if top == left == bottom == right == 0:
        return lambda x: x
    return lambda x: functional.pad(x, (left, right, top, bottom), value=fill)


def _conv(options: dict[str, Any], constants: list[Any], _: int) -> tuple[Step, int]:
    pad = _padded(options, 0.0)
    chosen = {
        "stride": options.get("strides", [1, 1]),
        "dilation": options.get("dilations", [1, 1]),
        "groups": options.get("group", 1),
    }
    return lambda x, w, b=None: functional.conv2d(pad(x), w, b, **chosen), len(constants)


def _average_pool(options: dict[str, Any], *_: Any) -> tuple[Step, int]:
    assert not any(options.get("pads", [0])) or options.get("count_include_pad", 0)
    pad = _padded(options, 0.0)
    return lambda x: functional.avg_pool2d(pad(x), options["kernel_shape"], options["strides"]), 1


def _max_pool(options: dict[str, Any], _: list[Any], outputs: int) -> tuple[Step, int]:
    assert outputs == 1
    pad = _padded(options, float("-inf"))
    return lambda x: functional.max_pool2d(pad(x), options["kernel_shape"], options["strides"]), 1


def _clip(_: dict[str, Any], constants: list[Any], __: int) -> tuple[Step, int]:
    low, high = (None if len(constants) <= k or constants[k] is None else float(constants[k]) for k in (1, 2))
    return lambda x: torch.clamp(x, low, high), 1


def _slice(_: dict[str, Any], constants: list[Any], __: int) -> tuple[Step, int]:
    starts, ends = constants[1].tolist(), constants[2].tolist()
    axes = constants[3].tolist() if len(constants) > 3 else list(range(len(starts)))
    steps = constants[4].tolist() if len(constants) > 4 else [1] * len(starts)

    def step(x: torch.Tensor) -> torch.Tensor:
        index = [slice(None)] * x.ndim
        for axis, start, end, by in zip(axes, starts, ends, steps, strict=True):
            index[axis] = slice(start, end, by)
        return x[tuple(index)]

    return step, 1


def _resize(options: dict[str, Any], constants: list[Any], _: int) -> tuple[Step, int]:
    mode = options.get("mode", b"nearest").decode()
    way = options.get("coordinate_transformation_mode", b"half_pixel").decode()
    scales = constants[2] if len(constants) > 2 else None
    sizes = constants[3] if len(constants) > 3 else None

    def step(x: torch.Tensor) -> torch.Tensor:
        if sizes is not None:
            size = [int(n) for n in sizes[-2:]]
        else:
            size = [int(n * k) for n, k in zip(x.shape[-2:], scales[-2:].tolist(), strict=True)]
        if mode == "nearest":
            assert (way, options.get("nearest_mode")) == ("asymmetric", b"floor")
            return functional.interpolate(x, size=size, mode="nearest")
        kind = {"linear": "bilinear", "cubic": "bicubic"}[mode]
        return functional.interpolate(x, size=size, mode=kind, align_corners=way == "align_corners")

    return step, 1


def _pad(options: dict[str, Any], constants: list[Any], _: int) -> tuple[Step, int]:
    mode = options.get("mode", b"constant").decode()
    pads = constants[1].tolist()
    half = len(pads) // 2
    assert not any(pads[: half - 2])
    assert not any(pads[half:-2])
    sides = (pads[half - 1], pads[-1], pads[half - 2], pads[-2])
    if mode == "constant":
        fill = 0.0 if len(constants) < 3 or constants[2] is None else float(constants[2])
        return lambda x: functional.pad(x, sides, value=fill), 1
    kind = {"reflect": "reflect", "edge": "replicate"}[mode]
    return lambda x: functional.pad(x, sides, mode=kind), 1


def _reduce(function: Step) -> Callable[..., tuple[Step, int]]:
    def make(options: dict[str, Any], constants: list[Any], _: int) -> tuple[Step, int]:
        axes = constants[1].tolist() if len(constants) > 1 else None
        keep = bool(options.get("keepdims", 1))

        def step(x: torch.Tensor) -> torch.Tensor:
            return function(x, dim=tuple(range(x.ndim)) if axes is None else axes, keepdim=keep)

        return step, 1

    return make


def _reshape(_: dict[str, Any], constants: list[Any], __: int) -> tuple[Step, int]:
    shape = constants[1].tolist()
    assert 0 not in shape
    return lambda x: x.reshape(shape), 1


def _unsqueeze(_: dict[str, Any], constants: list[Any], __: int) -> tuple[Step, int]:
    def step(x: torch.Tensor) -> torch.Tensor:
        for axis in sorted(constants[1].tolist()):
            x = x.unsqueeze(axis)
        return x

    return step, 1


def _split(options: dict[str, Any], constants: list[Any], outputs: int) -> tuple[Step, int]:
    axis = options.get("axis", 0)
    if len(constants) > 1:
        return lambda x: torch.split(x, constants[1].tolist(), axis), 1
    return lambda x: torch.chunk(x, outputs, axis), 1


def _gather(options: dict[str, Any], constants: list[Any], _: int) -> tuple[Step, int]:
    axis = options.get("axis", 0)
    if constants[1] is not None and constants[1].ndim == 0:
        return lambda x: x.select(axis, int(constants[1])), 1

    def step(x: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        taken = x.index_select(axis, index.reshape(-1))
        return taken.reshape(*x.shape[:axis], *index.shape, *x.shape[axis + 1 :])

    return step, 2


def _cast(options: dict[str, Any], *_: Any) -> tuple[Step, int]:
    to = torch.from_numpy(np.zeros(0, helper.tensor_dtype_to_np_dtype(options["to"]))).dtype
    return lambda x: x.to(to), 1


_MAKERS: dict[str, Callable[..., tuple[Step, int]]] = {
    "AveragePool": _average_pool,
    "Cast": _cast,
    "Clip": _clip,
    "Concat": lambda options, constants, _: (lambda *xs: torch.cat(xs, options["axis"]), len(constants)),
    "Conv": _conv,
    "Gather": _gather,
    "MaxPool": _max_pool,
    "Pad": _pad,
    "ReduceMax": _reduce(torch.amax),
    "ReduceMean": _reduce(torch.mean),
    "ReduceSum": _reduce(torch.sum),
    "Reshape": _reshape,
    "Resize": _resize,
    "Slice": _slice,
    "Split": _split,
    "Transpose": lambda options, *_: (lambda x: x.permute(options["perm"]), 1),
    "Unsqueeze": _unsqueeze,
}
