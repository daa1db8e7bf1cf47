"""A real, tiny model: the anomaly map is how far the image is from mid-grey, in blocks of 8 pixels.

A part of value 128 scores 0; a block of 255 scores 127. Values that are wanted can so be painted. A block of
1 makes the score NaN, a block of 2 infinite, and at a block of 3 ONNX Runtime raises.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from calibration.record import FILE_NAME, Calibration, Histogram, save_calibration
from engines.geometry import Geometry
from engines.manifest import FILE_NAME as MANIFEST_NAME
from engines.manifest import ONNX_NAME, Manifest, save_manifest
from support.manifests import make_manifest

BLOCK = 8
THRESHOLD = 50.0
GREY = 128


def make_model(
    directory: Path,
    *,
    height_px: int = 64,
    width_px: int = 64,
    channels: int = 1,
    threshold: float = THRESHOLD,
    grey: int = GREY,
) -> Path:
    """Write model.onnx, model.json and calibration.json; `grey` scores 0. Returns the directory."""
    data = _graph(height_px, width_px, channels, grey).SerializeToString()
    # The HR size is any: this graph has no views.
    geometry = Geometry(input_px=(height_px, width_px), hr_px=(64, 64), channels=channels)
    sizes = {"map_height": height_px // BLOCK, "map_width": width_px // BLOCK}
    manifest = make_manifest(data, geometry, model_id=directory.name, backbone="none", taps=[8], **sizes)
    return write_model(directory, data, manifest, threshold=threshold)


def write_model(directory: Path, data: bytes, manifest: Manifest, *, threshold: float = THRESHOLD) -> Path:
    """Write a model's bytes and manifest, and a calibration for them; returns the directory."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / ONNX_NAME).write_bytes(data)
    save_manifest(manifest, directory / MANIFEST_NAME)
    save_calibration(make_calibration(manifest.model_sha256, threshold=threshold), directory / FILE_NAME)
    return directory


def replace_onnx(directory: Path, data: bytes) -> None:
    """Put other bytes in model.onnx's place, with the records changed to fit."""
    manifest = msgspec.json.decode((directory / MANIFEST_NAME).read_bytes(), type=Manifest)
    sha256 = hashlib.sha256(data).hexdigest()
    write_model(directory, data, msgspec.structs.replace(manifest, model_sha256=sha256))


def make_calibration(model_sha256: str, *, threshold: float = THRESHOLD) -> Calibration:
    return Calibration(
        model_sha256=model_sha256,
        threshold=threshold,
        map_threshold=threshold,
        false_reject_rate=0.01,
        false_reject_lower=0.0,
        false_reject_upper=0.03,
        confidence=0.95,
        parts=100,
        heatmap_scale=2.0,
        heatmap_offset=0.0,
        histogram=Histogram(edges=[0.0, 1.0], counts=[100]),
        created_utc="2026-01-01T00:00:00Z",
    )


def _graph(height: int, width: int, channels: int, grey: int) -> onnx.ModelProto:
    shape = [height, width] if channels == 1 else [height, width, channels]
    constants = {
        "grey": np.float32(grey),
        "shape4": np.array([1, 1, height, width], np.int64),
        "map_shape": np.array([height // BLOCK, width // BLOCK], np.int64),
        "one": np.array([1], np.int64),
        "black": np.float32(1),
        "two": np.float32(2),
        "three": np.float32(3),
        "nothing": np.zeros(1, np.float32),
    }
    nodes = [helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT)]
    if channels == 3:
        nodes.append(helper.make_node("ReduceMean", ["float"], ["plane"], axes=[2], keepdims=0))
    else:
        nodes.append(helper.make_node("Identity", ["float"], ["plane"]))
    nodes += [
        helper.make_node("Reshape", ["plane", "shape4"], ["plane4"]),
        helper.make_node(
            "AveragePool", ["plane4"], ["blocks"], kernel_shape=[BLOCK] * 2, strides=[BLOCK] * 2
        ),
        helper.make_node("Reshape", ["blocks", "map_shape"], ["map_in"]),
        helper.make_node("Sub", ["map_in", "grey"], ["difference"]),
        helper.make_node("Abs", ["difference"], ["distance"]),
        # 0/0 where a block is 1, +0 elsewhere.
        helper.make_node("Sub", ["map_in", "black"], ["above"]),
        helper.make_node("Div", ["above", "above"], ["unit"]),
        helper.make_node("Mul", ["distance", "unit"], ["finite"]),
        # x/0 where a block is 2, x/1 elsewhere.
        helper.make_node("Equal", ["map_in", "two"], ["is_two"]),
        helper.make_node("Not", ["is_two"], ["is_not_two"]),
        helper.make_node("Cast", ["is_not_two"], ["divisor"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["finite", "divisor"], ["anomaly_map"]),
        helper.make_node("ReduceMax", ["anomaly_map"], ["peak"], keepdims=0),
        # Element 1 of a list of one where a block is 3, element 0 elsewhere.
        helper.make_node("Equal", ["map_in", "three"], ["is_three"]),
        helper.make_node("Cast", ["is_three"], ["as_number"], to=TensorProto.INT64),
        helper.make_node("ReduceMax", ["as_number"], ["index"], keepdims=0),
        helper.make_node("Gather", ["nothing", "index"], ["zero"]),
        helper.make_node("Add", ["peak", "zero"], ["sum"]),
        helper.make_node("Reshape", ["sum", "one"], ["score"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, shape)],
        [
            helper.make_tensor_value_info(
                "anomaly_map", TensorProto.FLOAT, [height // BLOCK, width // BLOCK]
            ),
            helper.make_tensor_value_info("score", TensorProto.FLOAT, [1]),
        ],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
