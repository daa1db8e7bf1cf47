"""A model folder that is nothing but matrix products: what a runtime reaches at best on this machine."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from engines.manifest import FILE_NAME, ONNX_NAME, Manifest, save_manifest

SIDE = 1024
PRODUCTS = 4
MULTIPLY_ADDS = PRODUCTS * SIDE**3
"""Of one inference."""


def write_peak_model(folder: Path) -> None:
    """Write model.onnx and model.json: an image of `SIDE` x `SIDE` times random matrices, one after another.

    The matrices keep the length of a vector in the mean, so that no product leaves the range.
    """
    data = _graph()
    (folder / ONNX_NAME).write_bytes(data)
    manifest = Manifest(
        model_id="peak",
        model_sha256=hashlib.sha256(data).hexdigest(),
        backbone="none",
        taps=[],
        input_height_px=SIDE,
        input_width_px=SIDE,
        channels=1,
        hr_height_px=SIDE,
        hr_width_px=SIDE,
        lr_height_px=SIDE // 2,
        lr_width_px=SIDE // 2,
        map_height=SIDE,
        map_width=SIDE,
        data_sha256="0" * 64,
        data_parts=0,
        seed=0,
        training={},
        versions={},
        created_utc="",
    )
    save_manifest(manifest, folder / FILE_NAME)


def _graph() -> bytes:
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    matrix = (rng.standard_normal((SIDE, SIDE)) / np.sqrt(SIDE)).astype(np.float32)
    nodes = [helper.make_node("Cast", ["image"], ["product_0"], to=TensorProto.FLOAT)]
    for number in range(PRODUCTS):
        last = number == PRODUCTS - 1
        output = "anomaly_map" if last else f"product_{number + 1}"
        nodes.append(helper.make_node("MatMul", [f"product_{number}", "matrix"], [output]))
    nodes += [
        helper.make_node("ReduceMax", ["anomaly_map"], ["maximum"], keepdims=0),
        helper.make_node("Reshape", ["maximum", "one"], ["score"]),
    ]
    graph = helper.make_graph(
        nodes,
        "peak",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, [SIDE, SIDE])],
        [
            helper.make_tensor_value_info("anomaly_map", TensorProto.FLOAT, [SIDE, SIDE]),
            helper.make_tensor_value_info("score", TensorProto.FLOAT, [1]),
        ],
        [
            numpy_helper.from_array(matrix, "matrix"),
            numpy_helper.from_array(np.array([1], np.int64), "one"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    data: bytes = model.SerializeToString()
    return data
