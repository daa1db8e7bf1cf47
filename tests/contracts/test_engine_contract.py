"""What every engine must do, run against each runtime on the same exported network."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from engines.engine import Engine, EngineError
from engines.export import export_onnx
from engines.geometry import Geometry
from engines.hlgfa import Hlgfa, NetworkSettings
from engines.load import open_engine
from engines.manifest import FILE_NAME, ONNX_NAME, load_manifest, save_manifest
from support.manifests import make_manifest
from support.plans import skip_unless_it_runs_here
from support.tiny_model import write_model

SIZE = (80, 96)


@pytest.fixture(scope="module", params=[1, 3], ids=["grey", "colour"])
def network(request: pytest.FixtureRequest) -> Hlgfa:
    torch.manual_seed(0)
    return Hlgfa(Geometry(input_px=SIZE, hr_px=(64, 64), channels=request.param), NetworkSettings())


@pytest.fixture(scope="module")
def model(network: Hlgfa, tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = export_onnx(network)
    manifest = make_manifest(data, network.geometry, model_id="contract")
    return write_model(tmp_path_factory.mktemp("model"), data, manifest, threshold=5.0)


GPU_RUNTIMES = ["tensorrt", "tensorrt-rtx"]
RUNTIMES = ["onnxruntime", "openvino", *(pytest.param(name, marks=pytest.mark.gpu) for name in GPU_RUNTIMES)]


@pytest.fixture(scope="module", params=RUNTIMES)
def runtime(request: pytest.FixtureRequest, model: Path) -> str:
    """Name of the runtime; those of a GPU have their fp32 engine built first."""
    runtime = str(request.param)
    if runtime in GPU_RUNTIMES:
        skip_unless_it_runs_here(runtime)
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                "from tools.build_engine import main; main()",
                "--model",
                model,
                "--target",
                runtime,
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    return runtime


@pytest.fixture(scope="module")
def engine(model: Path, runtime: str) -> Engine:
    return open_engine(model, runtime=runtime, threads=1)  # type: ignore[arg-type]


class TestEngineContract:
    def test_it_says_what_it_is(self, engine: Engine, model: Path, runtime: str, network: Hlgfa) -> None:
        info = engine.info
        assert (info.runtime, info.precision) == (runtime, "fp32")
        assert ("compute capability" in info.device) == (runtime in GPU_RUNTIMES)
        assert (info.device == "CPU") == (runtime not in GPU_RUNTIMES)
        assert info.model_sha256 == hashlib.sha256((model / ONNX_NAME).read_bytes()).hexdigest()
        assert (info.height_px, info.width_px, info.channels) == (*SIZE, network.geometry.channels)
        assert (info.map_height, info.map_width) == (16, 16)

    def test_it_gives_what_torch_gives(self, engine: Engine, network: Hlgfa) -> None:
        image = _image(engine, 1)
        output = engine.infer(image)
        with torch.no_grad():
            anomaly_map, score = network(torch.from_numpy(image))
        assert output.anomaly_map.dtype == np.float32
        np.testing.assert_allclose(output.anomaly_map, anomaly_map.numpy(), atol=2e-3, rtol=1e-3)
        assert output.score == pytest.approx(score.item(), abs=2e-3, rel=1e-3)

    def test_the_same_image_gives_the_same_bits(self, engine: Engine) -> None:
        image = _image(engine, 2)
        first = engine.infer(image)
        engine.infer(_image(engine, 3))
        again = engine.infer(image)
        assert again.score == first.score
        np.testing.assert_array_equal(again.anomaly_map, first.anomaly_map)

    def test_a_result_outlives_the_next_frame(self, engine: Engine) -> None:
        first = engine.infer(_image(engine, 4))
        kept = first.anomaly_map.copy()
        engine.infer(_image(engine, 5))
        np.testing.assert_array_equal(first.anomaly_map, kept)

    def test_a_read_only_image_is_taken_and_not_changed(self, engine: Engine) -> None:
        image = _image(engine, 6)
        before = image.copy()
        image.setflags(write=False)
        engine.infer(image)
        np.testing.assert_array_equal(image, before)

    @pytest.mark.parametrize("change", ["height", "channels", "dtype", "strides"])
    def test_another_image_is_refused(self, engine: Engine, change: str) -> None:
        image = _image(engine, 7)
        wrong = {
            "height": lambda: image[:-1],
            "channels": lambda: np.stack([image, image], axis=-1),
            "dtype": lambda: image.astype(np.float32),
            "strides": lambda: np.asfortranarray(image),
        }[change]()
        with pytest.raises(EngineError, match=r"tensor 'image': found .*, expected"):
            engine.infer(wrong)

    def test_a_closed_engine_says_so(self, model: Path, runtime: str) -> None:
        with open_engine(model, runtime=runtime, threads=1) as engine:  # type: ignore[arg-type]
            pass
        engine.close()
        with pytest.raises(EngineError, match="is closed"):
            engine.infer(_image(engine, 8))

    def test_a_corrupt_onnx_is_refused(self, model: Path, runtime: str, tmp_path: Path) -> None:
        data = b"this is no ONNX file"
        (tmp_path / ONNX_NAME).write_bytes(data)
        manifest = msgspec.structs.replace(
            load_manifest(model), model_sha256=hashlib.sha256(data).hexdigest()
        )
        save_manifest(manifest, tmp_path / FILE_NAME)
        with pytest.raises(
            EngineError, match=r"model.onnx: \w+( \w+)? cannot load it|engine.json: not found"
        ):
            open_engine(tmp_path, runtime=runtime, threads=1)  # type: ignore[arg-type]

    def test_another_signature_is_refused(self, model: Path, runtime: str, tmp_path: Path) -> None:
        (tmp_path / ONNX_NAME).write_bytes((model / ONNX_NAME).read_bytes())
        manifest = msgspec.structs.replace(load_manifest(model), map_height=99)
        save_manifest(manifest, tmp_path / FILE_NAME)
        if runtime in GPU_RUNTIMES:
            shutil.copytree(model / "engines", tmp_path / "engines")
        with pytest.raises(
            EngineError, match=r"tensor 'anomaly_map': found .*\(16, 16\).*expected .*\(99, 16\)"
        ):
            open_engine(tmp_path, runtime=runtime, threads=1)  # type: ignore[arg-type]


def _image(engine: Engine, seed: int) -> np.ndarray:
    info = engine.info
    shape = (info.height_px, info.width_px, 3) if info.channels == 3 else (info.height_px, info.width_px)
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
