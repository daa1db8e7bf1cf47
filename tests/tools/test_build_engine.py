"""`build_engine` from its command line, with the real TensorRT-RTX, which builds without a GPU."""

from __future__ import annotations

import hashlib
import json
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from engines.certificate import load_certificate
from engines.export import export_onnx
from engines.geometry import Geometry
from engines.gpu import first_gpu
from engines.half import to_half
from engines.hlgfa import PAPER, Hlgfa, NetworkSettings
from engines.load import open_engine
from engines.manifest import ONNX_NAME, load_manifest
from engines.precision import make_graph
from engines.sidecar import load_sidecar
from engines.targets import Precision
from engines.tensorrt_build import PlanRequest, build_plan
from engines.tensorrt_engine import Gpus, TensorRtEngine
from engines.tensors import expected_signature
from engines.verification import VerificationSet
from support.commands import build_engine, refused
from support.networks import write_network
from support.parts import good_part, write_parts
from support.plans import skip_unless_it_runs_here, write_plan
from support.tiny_model import make_model, replace_onnx
from support.torch_tensorrt import TorchTensorRt

DEMO = Path(__file__).parents[2] / "models" / "demo"
CALIBRATION = "calibration.json"
needs_rtx = pytest.mark.skipif(
    sys.platform != "linux", reason="TensorRT-RTX is installed by `make test` on x86-64 Linux only"
)


def read(folder: Path, name: str) -> dict[str, object]:
    found: dict[str, object] = json.loads((folder / name).read_text())
    return found


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return make_model(tmp_path / "model")


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_network(tmp_path_factory.mktemp("network") / "part")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the shipped model: engines are built beside it."""
    folder = tmp_path_factory.mktemp("shipped") / "demo"
    shutil.copytree(DEMO, folder, ignore=shutil.ignore_patterns("engines"))
    return folder


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Good parts of the shipped model."""
    folder = tmp_path_factory.mktemp("parts")
    script = "from tools.cli import main; main()"
    command = [
        sys.executable,
        "-c",
        script,
        "simulate",
        "--out",
        str(folder / "p"),
        "--train",
        "6",
        "--test",
        "0",
    ]
    subprocess.run(command, check=True, capture_output=True)
    return folder / "p"


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for seed in range(3):
        pixels = np.random.default_rng(seed).integers(2, 256, (64, 64), np.uint8)
        Image.fromarray(pixels).save(folder / f"{seed}.png")
    return folder


@pytest.mark.parametrize("target", ["openvino", "onnxruntime"])
def test_a_build_writes_sidecar_certificate_and_images(model: Path, images: Path, target: str) -> None:
    done = build_engine("--model", model, "--target", target, "--images", images)
    assert done.returncode == 0, done.stderr
    assert "verdicts changed 0" in done.stdout
    folder = model / "engines" / f"{target}-fp32"
    certificate, sidecar = read(folder, "certificate.json"), read(folder, "engine.json")
    assert certificate["status"] == "verified"
    assert certificate["engine"]["runtime"] == target  # type: ignore[index]
    assert certificate["parts"] == "3 good parts, each also with a synthetic defect"
    assert certificate["comparison"]["images"] == 6  # type: ignore[index]
    assert certificate["comparison"]["verdict_flips"] == 0  # type: ignore[index]
    assert sidecar["model_sha256"] == load_manifest(model).model_sha256
    assert [t["name"] for t in sidecar["tensors"]] == ["image", "anomaly_map", "score"]  # type: ignore[attr-defined]
    assert VerificationSet.load(folder / "verification.npz").images.shape == (6, 64, 64)
    assert sorted(p.name for p in (model / "engines").iterdir()) == [folder.name]


def test_without_images_it_draws_some(model: Path) -> None:
    done = build_engine("--model", model, "--target", "openvino")
    assert done.returncode == 0, done.stderr
    assert "8 drawn patterns, each also with a synthetic defect" in done.stdout


def cpu_s() -> float:
    """What the programs started here have taken of the cores: others may want them, too."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@needs_rtx
@pytest.mark.slow
def test_the_shipped_model_builds_in_every_precision_in_under_a_minute(demo: Path, simulated: Path) -> None:
    plans = {}
    for precision, more in (("fp32", []), ("fp16", []), ("int8", ["--score-limit", "0.1"])):
        begin_s = cpu_s()
        done = build_engine(
            *("--model", demo, "--target", "tensorrt-rtx", "--precision", precision),
            *("--images", simulated, "--compute-capability", "86", *more),
        )
        assert done.returncode == 0, done.stderr
        assert cpu_s() - begin_s < 60
        assert "not verified on this machine" in done.stdout
        folder = demo / "engines" / f"tensorrt-rtx-{precision}"
        sidecar, certificate = read(folder, "engine.json"), read(folder, "certificate.json")
        plan = (folder / "engine.plan").read_bytes()
        assert sidecar["files"] == [
            {"name": "engine.plan", "size_bytes": len(plan), "sha256": hashlib.sha256(plan).hexdigest()}
        ]
        assert sidecar["compute_capabilities"] == ["8.6"]
        assert sidecar["runtime_version"] == "1.7.1.116"
        assert sidecar["tensors"][0] == {  # type: ignore[index]
            "name": "image",
            "mode": "input",
            "dtype": "uint8",
            "shape": [512, 512],
        }
        assert bool(sidecar["islands"]) == (precision == "fp16")
        assert bool(sidecar["quantised"]) == (precision == "int8")
        assert certificate["status"] == "not verified on this machine"
        assert certificate["comparison"]["verdict_flips"] == 0  # type: ignore[index]
        plans[precision] = len(plan)
    assert plans["fp16"] < 0.8 * plans["fp32"]


@needs_rtx
@pytest.mark.slow
def test_a_freshly_trained_model_builds_and_rebuilds_to_the_same_bytes(tmp_path: Path) -> None:
    parts, model = write_parts(tmp_path / "parts"), tmp_path / "fresh"
    script = "from tools.cli import main; main()"
    for arguments in (
        ["train", "--data", parts, "--out", model, "--steps", "0", "--size", "96", "--threads", "1"],
        ["calibrate", "--model", model, "--good", parts],
    ):
        command = [sys.executable, "-c", script, *map(str, arguments)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    hashes = set()
    for _ in range(2):
        done = build_engine(
            *("--model", model, "--target", "tensorrt-rtx", "--precision", "fp16", "--images", parts),
            *("--compute-capability", "8.6,89", "--score-limit", "0.05"),
        )
        assert done.returncode == 0, done.stderr
        folder = model / "engines" / "tensorrt-rtx-fp16"
        hashes.add(hashlib.sha256((folder / "engine.plan").read_bytes()).hexdigest())
        assert read(folder, "engine.json")["compute_capabilities"] == ["8.6", "8.9"]
    assert len(hashes) == 1


@needs_rtx
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("settings", [NetworkSettings(), PAPER], ids=["default", "paper"])
@pytest.mark.parametrize("half", [False, True], ids=["fp32", "fp16"])
def test_every_exported_graph_parses_and_builds(
    tmp_path: Path, channels: int, settings: NetworkSettings, half: bool
) -> None:
    geometry = Geometry(input_px=(80, 96), hr_px=(64, 64), channels=channels)
    data = export_onnx(Hlgfa(geometry, settings))
    if half:
        data = to_half(onnx.load_from_string(data), []).SerializeToString()
    (tmp_path / "graph.onnx").write_bytes(data)
    plan = build_plan(request(tmp_path), lambda *_: None)
    shapes = {t.name: (t.dtype, t.shape) for t in plan.tensors}
    assert shapes["image"] == ("uint8", (80, 96) if channels == 1 else (80, 96, 3))
    assert shapes["anomaly_map"] == ("float32", (16, 16))
    assert shapes["score"] == ("float32", (1,))
    assert plan.layers > 300
    assert (tmp_path / "engine.plan").stat().st_size > 1e6


def request(folder: Path, *capabilities: str) -> PlanRequest:
    return PlanRequest(
        module="tensorrt_rtx",
        onnx=str(folder / "graph.onnx"),
        plan=str(folder / "engine.plan"),
        compute_capabilities=list(capabilities) or ["8.6"],
        workspace_mb=256,
        timing_cache=None,
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda model: (model / "calibration.json").unlink(), "Run: hlgfa calibrate"),
        (lambda model: (model / "model.onnx").write_bytes(b"no onnx"), "was changed or is incomplete"),
        (lambda model: (model / "model.json").write_text("{"), "model.json: cannot be read"),
    ],
)
@pytest.mark.parametrize("target", ["openvino", "tensorrt-rtx"])
def test_what_is_missing_or_corrupt_is_one_line_and_nothing_is_written(
    model: Path, change: Callable[[Path], None], words: str, target: str
) -> None:
    change(model)
    refused(build_engine("--model", model, "--target", target), words)
    assert not (model / "engines").exists()


@pytest.mark.parametrize("target", ["openvino", "onnxruntime", "tensorrt-rtx"])
def test_a_file_that_is_no_onnx_is_refused(model: Path, target: str) -> None:
    replace_onnx(model, b"\xff\xff this is no graph")
    done = build_engine("--model", model, "--target", target)
    refused(done, "is no ONNX file")
    assert not (model / "engines").exists()


def test_a_foreign_graph_is_refused(model: Path, tmp_path: Path) -> None:
    foreign = make_model(tmp_path / "foreign", height_px=128, width_px=64)
    replace_onnx(model, (foreign / ONNX_NAME).read_bytes())
    for target in ("openvino", "tensorrt-rtx"):
        refused(build_engine("--model", model, "--target", target), "tensor 'image': found")
        assert not (model / "engines").exists()


@needs_rtx
def test_an_operator_that_tensorrt_has_not_is_named(model: Path) -> None:
    graph = onnx.load(model / ONNX_NAME)
    for node in graph.graph.node:
        if node.op_type == "Abs":
            node.op_type, node.name = "BitwiseNot", "odd"
    (model / "graph.onnx").write_bytes(graph.SerializeToString())
    with pytest.raises(
        Exception, match=r"cannot parse the graph: .*odd|cannot parse the graph: .*BitwiseNot"
    ):
        build_plan(request(model), lambda *_: None)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["--target", "abacus"],
            "found 'abacus', expected one of onnxruntime, openvino, tensorrt, tensorrt-rtx",
        ),
        (["--target", "openvino", "--precision", "fp16"], "fp16 exists for tensorrt, tensorrt-rtx"),
        (["--target", "tensorrt-rtx", "--precision", "fp8"], "found 'fp8' with runtime 'tensorrt-rtx'"),
        (["--target", "tensorrt-rtx", "--precision", "int8"], "found no calibration parts"),
        (["--target", "tensorrt-rtx", "--batch", "4"], "--batch: found 4, expected 1"),
        (
            ["--target", "tensorrt-rtx", "--compute-capability", "fast"],
            "found 'fast', expected numbers such as",
        ),
        (["--target", "tensorrt-rtx", "--compute-capability", "87"], "found 87, expected of 75, 80, 86, 89"),
        (
            ["--target", "tensorrt-rtx", "--timing-cache", "c"],
            "--timing-cache: found with target tensorrt-rtx",
        ),
        (["--target", "openvino", "--workspace-mb", "9"], "--workspace-mb: found with target openvino"),
        (["--images", "/no/such/folder"], "no such folder"),
    ],
)
def test_what_does_not_exist_is_refused(model: Path, arguments: list[str], words: str) -> None:
    refused(build_engine("--model", model, *arguments), words)
    assert not (model / "engines").exists()


def small_files() -> None:
    """To whatever writes it is a full disk: files may not grow beyond 300 kB."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))


@needs_rtx
def test_a_full_disk_keeps_what_was_there(network: Path) -> None:
    engines = network / "engines"
    shutil.rmtree(engines, ignore_errors=True)
    arguments = ("--model", network, "--target", "tensorrt-rtx", "--compute-capability", "86")
    refused(build_engine(*arguments, preexec_fn=small_files), "cannot be written")
    assert not engines.exists()
    assert build_engine(*arguments).returncode == 0
    before = {path: path.read_bytes() for path in engines.rglob("*") if path.is_file()}
    refused(build_engine(*arguments, preexec_fn=small_files), "cannot be written")
    assert {path: path.read_bytes() for path in engines.rglob("*") if path.is_file()} == before


@needs_rtx
def test_int8_that_cannot_keep_the_limit_is_refused(network: Path, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for seed in range(2):
        Image.fromarray(good_part(seed, size_px=96)[:64]).save(folder / f"{seed}.png")
    shutil.rmtree(network / "engines", ignore_errors=True)
    done = build_engine(
        *("--model", network, "--target", "tensorrt-rtx", "--precision", "int8", "--images", folder),
        *("--score-limit", "0.000001"),
    )
    refused(done, "int8: found no group of convolutions")
    assert not (network / "engines").exists()


def test_the_rtx_engine_says_at_once_that_there_is_no_gpu(network: Path) -> None:
    from engines.engine import EngineError
    from engines.gpu import find_gpu
    from engines.load import open_engine

    if find_gpu() is not None:
        pytest.skip("this machine has a GPU")
    done = build_engine("--model", network, "--target", "tensorrt-rtx", "--compute-capability", "86")
    assert done.returncode == 0, done.stderr
    with pytest.raises(EngineError, match=r"GPU: no NVIDIA driver|GPU: the NVIDIA driver finds none"):
        open_engine(network, runtime="tensorrt-rtx", threads=1)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_on_a_gpu_the_graph_of_the_shipped_model_keeps_its_scores(
    demo: Path, simulated: Path, precision: Precision
) -> None:
    """The graph that a plan is built from, with PyTorch's kernels in TensorRT's place."""
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("this PyTorch has no CUDA")
    from support.onnx_torch import OnnxTorch

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    images = [np.asarray(Image.open(path)) for path in sorted(simulated.rglob("*.png"))]
    threshold = read(demo, CALIBRATION)["threshold"]
    assert isinstance(threshold, float)
    graph = make_graph(
        (demo / ONNX_NAME).read_bytes(),
        precision,
        images,
        images,
        threshold=threshold,
        score_limit=0.01,
        threads=2,
        where=demo,
        progress=lambda *_: None,
    )
    gpu = first_gpu()
    here = {"gpu": gpu.name, "compute_capabilities": [gpu.compute_capability]}
    write_plan(demo, target="tensorrt", precision=precision, changes=here)
    signature = expected_signature(load_manifest(demo))
    network = OnnxTorch(graph.onnx, "cuda")
    machine = Gpus(module=lambda _: TorchTensorRt(network, signature, "10.13"))
    reference = open_engine(demo, runtime="onnxruntime", threads=1)
    with TensorRtEngine(demo, target="tensorrt", precision=precision, machine=machine) as engine:
        assert engine.info.note is None  # the CUDA graph was captured
        for image in images:
            expected, found = reference.infer(image).score, engine.infer(image).score
            assert abs(found - expected) <= 0.01 * threshold


@pytest.mark.gpu
@pytest.mark.parametrize("target", ["tensorrt", "tensorrt-rtx"])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_on_a_gpu_the_engine_itself_is_certified(
    demo: Path, simulated: Path, target: str, precision: str
) -> None:
    skip_unless_it_runs_here(target)
    done = build_engine("--model", demo, "--target", target, "--precision", precision, "--images", simulated)
    assert done.returncode == 0, done.stderr
    folder = demo / "engines" / f"{target}-{precision}"
    certificate = load_certificate(folder)
    assert certificate.status == "verified"
    assert certificate.engine.memory is not None
    assert certificate.engine.note is None  # the CUDA graph was captured
    assert load_sidecar(
        demo, target=target, precision=precision, model_sha256=load_manifest(demo).model_sha256
    ).gpu
