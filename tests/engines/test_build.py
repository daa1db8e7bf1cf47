"""A build whose engine computes something else is not kept, and says where; the station's first start."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from engines import build as building
from engines.build import BuildRequest, CalibrationParts, Judging, build
from engines.certificate import NOT_VERIFIED, VERIFIED, load_certificate
from engines.engine import EngineError
from engines.load import open_engine
from engines.manifest import load_manifest
from engines.precision import Graph
from engines.targets import PRECISIONS
from engines.tensorrt_engine import TensorRtEngine
from engines.tensors import expected_signature
from pipeline import inspection_start
from pipeline.config import EngineConfig
from support.fake_tensorrt import make_machine
from support.networks import SIZE, network_onnx, write_network
from support.tiny_model import THRESHOLD, make_model, replace_onnx


def quiet(phase: str, done: int, of: int) -> None:
    assert done <= of, phase


def parts(shape: tuple[int, int]) -> CalibrationParts:
    good = [np.random.default_rng(seed).integers(2, 256, shape, np.uint8) for seed in range(2)]
    return CalibrationParts(good, [255 - image for image in good], good, "2 test parts", real=True)


def judging(threshold: float) -> Judging:
    return Judging(threshold, lambda output: output, None)


def test_a_runtime_that_differs_is_refused_and_said_to_be_the_runtime(tmp_path: Path) -> None:
    model = write_network(tmp_path / "part")
    request = BuildRequest(model_dir=model, target="openvino", precision="fp32", threads=1, score_limit=1e-12)
    with pytest.raises(
        EngineError, match=r"found a score error of .* the runtime itself does. Nothing was kept"
    ):
        build(request, parts(SIZE), judging(5.0), quiet)
    assert not (model / "engines").exists()


def test_a_graph_that_lost_the_range_names_the_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = write_network(tmp_path / "part")
    spoiled = onnx.load_from_string(network_onnx())
    for tensor in spoiled.graph.initializer:
        if tensor.name == "levels.16.standardise_hr.inverse_std":
            values = numpy_helper.to_array(tensor) * np.float32(9)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))

    def make_graph(data: bytes, *_: Any, **__: Any) -> Graph:
        changed = spoiled.SerializeToString()
        return Graph(onnx=changed, reference=data, precision="fp16", nodes=1, islands=[], quantised=[])

    monkeypatch.setattr(building, "make_graph", make_graph)
    request = BuildRequest(model_dir=model, target="tensorrt-rtx", precision="fp16", threads=1)
    pytest.importorskip("tensorrt_rtx")
    with pytest.raises(EngineError, match=r"The stage alignment lost the range; .* Nothing was kept"):
        build(request, parts(SIZE), judging(5.0), quiet)
    assert not (model / "engines").exists()


@pytest.mark.parametrize("runtime", [*PRECISIONS, "abacus"])
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8", "fp8"])
def test_a_combination_that_does_not_exist_is_refused(runtime: str, precision: str, tmp_path: Path) -> None:
    if precision in PRECISIONS.get(runtime, ()):
        return
    with pytest.raises(EngineError, match=r"^engine\.(runtime|precision): found '\w+'.*expected [^\n]*$"):
        open_engine(tmp_path, runtime=runtime, precision=precision, threads=1)  # type: ignore[arg-type]


class TestFirstStart:
    """The station with an engine that was built where it could not run."""

    @pytest.fixture
    def model(self, tmp_path: Path) -> Path:
        pytest.importorskip("tensorrt_rtx")
        model = make_model(tmp_path / "model")
        request = BuildRequest(
            model_dir=model,
            target="tensorrt-rtx",
            precision="fp32",
            threads=1,
            compute_capabilities=("8.6",),
        )
        built = build(request, parts((64, 64)), judging(THRESHOLD), quiet)
        assert built.certificate.status == NOT_VERIFIED
        return model

    def start(self, model: Path, monkeypatch: pytest.MonkeyPatch, calls: Path | None = None) -> Any:
        """Open as the station does, on a machine with a GPU that computes the model in `calls`."""
        machine = make_machine(calls or model, expected_signature(load_manifest(model)))

        def opened(
            folder: Path, *, runtime: str, precision: str, threads: int, spinning: bool
        ) -> TensorRtEngine:
            assert (threads, spinning) == (2, False)
            return TensorRtEngine(folder, target=runtime, precision=precision, machine=machine.gpus)

        monkeypatch.setattr(inspection_start, "open_engine", opened)
        engine, _ = inspection_start.open_verified(EngineConfig(model=str(model), runtime="tensorrt-rtx"))
        return engine, machine

    def test_it_is_verified_once_and_the_certificate_says_where(
        self, model: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = model / "engines" / "tensorrt-rtx-fp32"
        engine, machine = self.start(model, monkeypatch)
        certificate = load_certificate(folder)
        assert (certificate.status, certificate.engine) == (VERIFIED, engine.info)
        assert certificate.comparison.images == 4
        assert machine.calls.count("launch") == 1 + 4
        _, machine = self.start(model, monkeypatch)
        assert machine.calls.count("launch") == 1

    def test_another_device_is_verified_anew(self, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        folder = model / "engines" / "tensorrt-rtx-fp32"
        self.start(model, monkeypatch)
        certificate = load_certificate(folder)
        moved = msgspec.structs.replace(certificate.engine, device="NVIDIA RTX 4090, compute capability 8.9")
        other = msgspec.structs.replace(certificate, engine=moved)
        (folder / "certificate.json").write_bytes(msgspec.json.encode(other))
        _, machine = self.start(model, monkeypatch)
        assert machine.calls.count("launch") == 1 + 4

    def test_an_engine_that_computes_something_else_does_not_start(
        self, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        wrong = make_model(tmp_path / "wrong")
        graph = onnx.load(wrong / "model.onnx")
        for tensor in graph.graph.initializer:
            if tensor.name == "grey":
                tensor.CopyFrom(numpy_helper.from_array(np.float32(100), "grey"))
        replace_onnx(wrong, graph.SerializeToString())
        with pytest.raises(EngineError, match=r"verdicts changed|score error") as caught:
            self.start(model, monkeypatch, wrong)
        assert re.search(r"It must not be used. Build it again", str(caught.value))
        folder = model / "engines" / "tensorrt-rtx-fp32"
        assert load_certificate(folder).status == NOT_VERIFIED
