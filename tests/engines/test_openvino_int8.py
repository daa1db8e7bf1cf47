"""INT8 for OpenVINO by the real NNCF, on the real network."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import openvino as ov
import pytest

from engines import openvino_int8
from engines.engine import EngineError
from engines.openvino_int8 import Int8Model, quantise
from engines.stages import stages_of
from engines.tensors import INPUT
from support.networks import SIZE, network_onnx
from support.parts import good_part
from support.tiny_model import make_model

ONNX = network_onnx(positions=True)


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    return [good_part(seed, size_px=96)[:64] for seed in range(6)]


def quiet(phase: str, done: int, of: int) -> None:
    assert phase.startswith("INT8")
    assert done <= of


def made(images: list[np.ndarray]) -> Int8Model:
    return quantise(ONNX, images, hr_height_px=SIZE[0], threads=1, progress=quiet)


@pytest.fixture(scope="module")
def int8(images: list[np.ndarray]) -> Int8Model:
    return made(images)


def distances(model: Any, images: list[np.ndarray]) -> list[np.ndarray]:
    """Mean over images of what every distance is the root of."""
    graph = onnx.load_from_string(ONNX)
    stages = stages_of(graph)
    roots = [n.name for n in graph.graph.node if n.op_type == "Sqrt" and stages[n.name] == "distance"]
    request = openvino_int8._tapped(model.clone(), roots, 1)
    found = []
    for image in images:
        request.get_tensor(INPUT).data[...] = image
        request.infer()
        found.append([request.get_output_tensor(2 + n).data.copy() for n in range(len(roots))])
    return [np.mean(values, axis=0) for values in zip(*found, strict=True)]


def test_the_first_and_the_depthwise_convolutions_stay_fp32(int8: Int8Model) -> None:
    graph = onnx.load_from_string(ONNX)
    weights = {tensor.name: tensor.dims for tensor in graph.graph.initializer}
    read = {node.name: node.input[1] for node in graph.graph.node if node.op_type == "Conv"}
    chosen = {read[name] for name in int8.quantised}
    assert not [name for name in chosen if name.startswith(("backbone.stem", "backbone.blocks.0."))]
    assert not [name for name in chosen if name.startswith("backbone.blocks.1.")]
    assert all(weights[name][1] > 1 for name in chosen)  # a depthwise one has one channel a group
    assert {name for name in chosen if "guidance" in name}
    assert {name for name in chosen if name.startswith("backbone.blocks.14.")}


def test_the_runtime_computes_them_in_int8(int8: Int8Model) -> None:
    compiled = ov.Core().compile_model(int8.model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    layers = {
        op.get_friendly_name(): op.get_rt_info() for op in compiled.get_runtime_model().get_ordered_ops()
    }
    types = [str(layers[name]["runtimePrecision"].value) for name in layers if name in set(int8.quantised)]
    types += [
        str(info["runtimePrecision"].value)
        for name, info in layers.items()
        if name.removesuffix("/WithoutBiases") in set(int8.quantised)
    ]
    assert types
    assert all("8" in kind for kind in types), types


def test_on_good_parts_the_rounding_adds_nothing_to_the_distances(
    int8: Int8Model, images: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = distances(ov.Core().read_model(ONNX), images[::2])
    with monkeypatch.context() as patch:
        patch.setattr(openvino_int8, "_subtract", lambda *_: None)
        raised = distances(made(images).model, images[::2])
    found = distances(int8.model, images[::2])
    assert len(expected) == 5
    for fp32, plain, corrected in zip(expected, raised, found, strict=True):
        assert np.abs(plain - fp32).max() > 1e-3
        assert np.abs(corrected - fp32).max() < 0.05 * np.abs(plain - fp32).max()


def test_the_same_parts_give_the_same_engine(
    int8: Int8Model, images: list[np.ndarray], tmp_path: Path
) -> None:
    for name, model in (("a", int8.model), ("b", made(images).model)):
        ov.save_model(model, tmp_path / f"{name}.xml", compress_to_fp16=False)
    assert (tmp_path / "a.bin").read_bytes() == (tmp_path / "b.bin").read_bytes()


def test_without_nncf_it_says_what_to_install(
    images: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "nncf", None)
    with pytest.raises(EngineError, match=r"needs NNCF, found none .*pip install 'hlgfa-line\[int8\]'"):
        made(images)


def test_a_graph_without_convolutions_is_refused(images: list[np.ndarray], tmp_path: Path) -> None:
    data = (make_model(tmp_path / "model", height_px=64, width_px=96) / "model.onnx").read_bytes()
    with pytest.raises(EngineError, match=r"int8: found no convolution at stride 4 or more"):
        quantise(data, images, hr_height_px=64, threads=1, progress=quiet)
