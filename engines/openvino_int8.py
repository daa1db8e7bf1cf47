"""INT8 for OpenVINO: convolutions by NNCF, and what the rounding adds to the distances taken off again.

What stays FP32, and why, by measurement (docs/decisions/0022):
- Everything but convolutions: the whitening divides by what good parts hardly vary in. Of convolutions the
  depthwise ones: the runtime computes them in FP32 anyway.
- Convolutions at half the HR view's resolution, the first ones: nine tenths of the error were theirs.

Rounding is noise on the features, so it adds its own power to every squared distance, most where good parts
vary least. Over good parts that power is known for each position, and it is subtracted before the root.
"""

from __future__ import annotations

import contextlib
import io
import logging
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import openvino as ov

from engines.engine import EngineError
from engines.islands import groups_of
from engines.stages import stages_of
from engines.tensors import INPUT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray
    from onnx import ModelProto

FINEST_STRIDE = 4
"""HR pixels; a block of the backbone that computes at a smaller stride stays FP32."""
LEAST_SQUARE = 1e-6
"""Of a distance: what the network itself adds below the root."""
OUTPUTS = 2
"""Of the model itself: anomaly map and score."""


class Int8Model(NamedTuple):
    """OpenVINO's model, and the names of the convolutions that are INT8 in it."""

    model: Any
    quantised: list[str]


def quantise(
    onnx: bytes,
    images: Sequence[NDArray[np.uint8]],
    *,
    hr_height_px: int,
    threads: int,
    progress: Callable[[str, int, int], None],
) -> Int8Model:
    """The model with its convolutions in INT8.

    Args:
        onnx: FP32 model.
        images: raw, of good parts and of ones with defects, in turn; their tensors give the ranges, those of
            the good ones the power of the rounding.
        hr_height_px: of the HR view.
        threads: of the CPU.
        progress: called with what is done, the step and how many there are.

    Raises:
        EngineError: NNCF is not installed or refuses, or there is no convolution to quantise.
    """
    import onnx as onnx_package

    graph = onnx_package.load_from_string(onnx)
    model = ov.Core().read_model(onnx)
    chosen = _chosen(graph, model, hr_height_px)
    if not chosen:
        raise EngineError(
            "int8: found no convolution at stride 4 or more, expected some in the backbone. Use fp32."
        )
    every = range(len(images))
    quantised = _quantised(model, _Told(images, every, "INT8, ranges of the tensors", progress), chosen)
    stages = stages_of(graph)
    roots = [n.name for n in graph.graph.node if n.op_type == "Sqrt" and stages[n.name] == "distance"]
    reference, found = (_tapped(m, roots, threads) for m in (ov.Core().read_model(onnx), quantised.clone()))
    good = _Told(images, every[::2], "INT8, power of the rounding", progress)
    _subtract(quantised, _noise(reference, found, roots, good))
    return Int8Model(quantised, chosen)


def _chosen(graph: ModelProto, model: Any, hr_height_px: int) -> list[str]:
    """Names of the convolutions that are to be INT8, in the order of the data."""
    operations = model.get_ordered_ops()
    heights = {
        _name(node): int(node.output(0).get_shape()[2])
        for node in operations
        if node.get_type_name() in {"Convolution", "GroupConvolution"}
    }
    dense = {_name(node) for node in operations if node.get_type_name() == "Convolution"}
    chosen: list[str] = []
    for group, nodes in groups_of(graph).items():
        finest = max((heights[name] for name in nodes if name in heights), default=0)
        if group.startswith(("backbone", "alignment")) and finest * FINEST_STRIDE <= hr_height_px:
            chosen += [name for name in nodes if name in dense]
    return chosen


def _quantised(model: Any, images: _Told, chosen: Sequence[str]) -> Any:
    try:
        import nncf
        from nncf.quantization import range_estimator
    except ImportError as error:
        raise EngineError(
            f"int8 for openvino needs NNCF, found none ({error}). Run: pip install 'hlgfa-line[int8]'"
        ) from error
    others = [
        node.get_friendly_name()
        for node in model.get_ordered_ops()
        if node.get_type_name() not in {"Parameter", "Constant", "Result"} and _name(node) not in chosen
    ]
    nncf.set_log_level(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it draws a bar of its own
            return nncf.quantize(
                model,
                nncf.Dataset(images),
                preset=nncf.QuantizationPreset.PERFORMANCE,
                subset_size=len(images),
                # By default ranges are the mean over images of each one's largest: what a defect stirs up
                # would be cut off, and its score with it.
                advanced_parameters=nncf.AdvancedQuantizationParameters(
                    activations_range_estimator_params=range_estimator.RangeEstimatorParametersSet.MINMAX
                ),
                ignored_scope=nncf.IgnoredScope(names=others, validate=False),
            )
    except (RuntimeError, nncf.ValidationError, nncf.InternalError) as error:
        raise EngineError(f"int8: NNCF {nncf.__version__} cannot quantise this model: {error}") from error


def _tapped(model: Any, roots: Sequence[str], threads: int) -> Any:
    """A request whose further outputs are what the roots are taken of, in their order."""
    by_name = {node.get_friendly_name(): node for node in model.get_ordered_ops()}
    model.add_outputs([by_name[name].input_value(0) for name in roots])
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
    return ov.Core().compile_model(model, "CPU", settings).create_infer_request()


def _noise(reference: Any, found: Any, roots: Sequence[str], good: _Told) -> dict[str, NDArray[np.float32]]:
    """By how much INT8 raises what the roots are taken of, on average over images of good parts."""
    total: dict[str, Any] = dict.fromkeys(roots, 0.0)
    for image in good:
        for sign, request in ((-1.0, reference), (1.0, found)):
            request.get_tensor(INPUT).data[...] = image
            request.infer()
            for number, name in enumerate(roots):
                total[name] = total[name] + sign * request.get_output_tensor(OUTPUTS + number).data
    return {name: (value / len(good)).astype(np.float32) for name, value in total.items()}


def _subtract(model: Any, noise: dict[str, NDArray[np.float32]]) -> None:
    """Root of x -> root of max(x - noise, least), in the model itself."""
    from openvino import opset13

    for node in model.get_ordered_ops():
        power = noise.get(node.get_friendly_name())
        if power is not None:
            less = opset13.subtract(node.input_value(0), opset13.constant(power))
            least = opset13.maximum(less, opset13.constant(np.float32(LEAST_SQUARE)))
            node.input(0).replace_source_output(least.output(0))
    model.validate_nodes_and_infer_types()


def _name(node: Any) -> str:
    """Of the ONNX node that an operation comes from: a convolution with a bias becomes two operations."""
    name: str = node.get_friendly_name()
    return name.removesuffix("/WithoutBiases")


class _Told:
    """Some of the images, counted for the progress; NNCF reads them more than once."""

    def __init__(
        self,
        images: Sequence[NDArray[np.uint8]],
        taken: range,
        what: str,
        progress: Callable[[str, int, int], None],
    ) -> None:
        self._images, self._taken, self._what, self._progress = images, taken, what, progress

    def __len__(self) -> int:
        return len(self._taken)

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        for done, index in enumerate(self._taken, 1):
            yield self._images[index]
            self._progress(self._what, done, len(self._taken))
