"""The engine on a GPU, without one: order of calls, buffers, refusals; the real bindings have all of it."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from engines import cuda_bindings_memory, cuda_graph, tensorrt_bindings, tensorrt_engine, tensorrt_worker
from engines.cuda_graph import CudaGraph
from engines.device_memory import DeviceMemory, open_memory
from engines.engine import EngineError
from engines.gpu import first_gpu
from engines.load import open_engine
from engines.manifest import load_manifest
from engines.sidecar import FILE_NAME
from engines.tensorrt_engine import PLAN_NAME, WARM_UP, TensorRtEngine
from engines.tensors import expected_signature
from support.fake_tensorrt import GPU, VERSION, Machine, make_machine
from support.plans import write_plan
from support.tiny_model import make_model

FRAME = ["upload", "enqueue", "download", "download"]


def write_sidecar(model: Path, target: str = "tensorrt-rtx", **changes: Any) -> Path:
    """A plan, whose bytes nobody reads, and its sidecar."""
    changes = {"runtime_version": VERSION, "gpu": GPU.name, **changes}
    return write_plan(model, target=target, precision="fp16", changes=changes)


def tensors(model: Path) -> dict[str, Any]:
    return expected_signature(load_manifest(model))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = make_model(tmp_path / "model")
    write_sidecar(folder)
    return folder


def opened(model: Path, machine: Machine, target: str = "tensorrt-rtx") -> TensorRtEngine:
    return TensorRtEngine(model, target=target, precision="fp16", machine=machine.gpus)


def image(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(2, 256, (64, 64), np.uint8)


def test_calls_come_in_order(model: Path) -> None:
    machine = make_machine(model, tensors(model))
    engine = opened(model, machine)
    buffers = ["buffer uint8 (64, 64)", "buffer float32 (8, 8)", "buffer float32 (1,)"]
    start = ["driver", "import tensorrt_rtx", "runtime", "deserialise", *buffers]
    warm = ([*FRAME, "synchronize"]) * WARM_UP
    assert machine.calls == [*start, *warm, "capture", *FRAME, "launch", *FRAME, "synchronize"]
    del machine.calls[:]
    engine.infer(image(1))
    assert machine.calls == ["launch", *FRAME, "synchronize"]  # one launch a frame, nothing is allocated
    engine.close()
    engine.close()
    assert machine.calls[-1] == "graph closed"
    assert machine.memory.closed == 1


def test_results_are_the_models_and_the_callers_to_keep(model: Path) -> None:
    machine = make_machine(model, tensors(model))
    with (
        opened(model, machine) as engine,
        open_engine(model, runtime="onnxruntime", threads=1) as reference,
    ):
        first = engine.infer(image(1))
        kept = first.anomaly_map.copy()
        engine.infer(image(2))
        expected = reference.infer(image(1))
        np.testing.assert_array_equal(kept, expected.anomaly_map)
        np.testing.assert_array_equal(first.anomaly_map, kept)
        assert first.score == expected.score
        assert engine.info.memory == "fake memory 1.0, pinned"
        assert engine.info.device == "NVIDIA RTX A2000, compute capability 8.6"
        assert (engine.info.runtime, engine.info.precision) == ("tensorrt-rtx", "fp16")
        assert engine.info.note is None


def test_memory_is_mapped_where_the_gpu_has_none_of_its_own(model: Path) -> None:
    jetson = msgspec.structs.replace(GPU, integrated=True)
    machine = make_machine(model, tensors(model), jetson)
    with opened(model, machine) as engine:
        assert engine.info.memory == "fake memory 1.0, mapped"
        addresses = machine.trt.addresses.values()
        assert all(machine.memory.device[a].ctypes.data for a in addresses)
        assert np.isfinite(engine.infer(image(1)).score)


def test_a_refused_capture_is_said_and_frames_are_enqueued(model: Path) -> None:
    machine = make_machine(model, tensors(model), capture=False)
    with opened(model, machine) as engine:
        assert "no CUDA graph, each frame is enqueued by itself: GPU: cuStreamEndCapture" in str(
            engine.info.note
        )
        del machine.calls[:]
        engine.infer(image(1))
    assert machine.calls == [*FRAME, "synchronize"]


@pytest.mark.parametrize("change", [lambda i: i[:-1], lambda i: i.astype(np.float32), np.asfortranarray])
def test_another_image_is_refused(model: Path, change: Any) -> None:
    machine = make_machine(model, tensors(model))
    with (
        opened(model, machine) as engine,
        pytest.raises(EngineError, match=r"tensor 'image': found .* expected"),
    ):
        engine.infer(change(image(1)))


def test_a_closed_engine_says_so(model: Path) -> None:
    engine = opened(model, make_machine(model, tensors(model)))
    engine.close()
    with pytest.raises(EngineError, match="is closed"):
        engine.infer(image(1))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"runtime_version": "1.6.0.1"}, "was built for tensorrt-rtx 1.6.0.1, this machine has 1.7.1.116"),
        ({"compute_capabilities": ["12.0"]}, "compute capability 12.0, this GPU (NVIDIA RTX A2000) has 8.6"),
        ({"model_sha256": "ab" * 32}, "found an engine of model abababababab, expected one of"),
        ({"precision": "int8"}, "found hlgfa.engine/1.0 tensorrt-rtx int8, expected"),
        ({"schema": "hlgfa.engine/9.0"}, "found hlgfa.engine/9.0"),
    ],
)
def test_what_does_not_match_is_refused_before_it_is_loaded(
    model: Path, changes: dict[str, Any], words: str
) -> None:
    write_sidecar(model, **changes)
    machine = make_machine(model, tensors(model))
    with pytest.raises(EngineError, match=re.escape(words)) as caught:
        opened(model, machine)
    assert f"Run: build_engine --model {model} --target tensorrt-rtx --precision fp16" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "runtime" not in machine.calls


def test_tensorrt_belongs_to_the_gpu_that_it_was_built_on(model: Path) -> None:
    write_sidecar(model, "tensorrt", gpu="NVIDIA RTX 3090")
    machine = make_machine(model, tensors(model))
    with pytest.raises(
        EngineError, match=r"was built on NVIDIA RTX 3090, this GPU is NVIDIA RTX A2000. Run:"
    ):
        opened(model, machine, "tensorrt")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda folder: (folder / PLAN_NAME).write_bytes(b"plam"), "the file was changed or is incomplete"),
        (lambda folder: (folder / PLAN_NAME).unlink(), "engine.plan: cannot be read"),
        (lambda folder: (folder / FILE_NAME).unlink(), "engine.json: not found"),
        (lambda folder: (folder / FILE_NAME).write_text("{"), "engine.json: cannot be read"),
    ],
)
def test_a_changed_or_missing_file_is_refused(model: Path, spoil: Any, words: str) -> None:
    spoil(model / "engines/tensorrt-rtx-fp16")
    machine = make_machine(model, tensors(model))
    with pytest.raises(EngineError, match=words):
        opened(model, machine)
    assert machine.calls == []


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("engine", "cannot load it: the plan is of another world. Run: build_engine"),
        ("context", "no execution context"),
        ("address", "tensor 'image': found address 0x1000 refused"),
        ("enqueue", "refused to enqueue"),
    ],
)
def test_what_tensorrt_refuses_is_one_line_and_memory_is_freed(model: Path, what: str, words: str) -> None:
    machine = make_machine(model, tensors(model))
    machine.trt.refuse.add(what)
    with pytest.raises(EngineError, match=words):
        opened(model, machine)
    assert machine.memory.closed == 1


def test_another_tensor_is_named_with_what_was_expected(model: Path) -> None:
    wrong = {**tensors(model), "score": (np.float16, (1,))}
    with pytest.raises(
        EngineError, match=r"tensor 'score': found \('float16', \(1,\)\), expected \('float32'"
    ):
        opened(model, make_machine(model, wrong))


class FakeDriver:
    """A CUDA driver that fails at a named call."""

    def __init__(self, fails: str = "") -> None:
        self.fails, self.calls = fails, []  # type: ignore[var-annotated]

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any) -> int:
            self.calls.append(name)
            if name == "cuStreamEndCapture":
                arguments[1]._obj.value = 5
            if name == "cuGraphInstantiateWithFlags":
                arguments[0]._obj.value = 6
            return 901 if name == self.fails else 0

        return call


def test_a_graph_is_captured_launched_and_freed_once() -> None:
    driver, work = FakeDriver(), []
    graph = CudaGraph(7, lambda: work.append(1), driver=driver)
    graph.launch()
    graph.launch()
    graph.close()
    graph.close()
    assert work == [1]
    made = ["cuStreamBeginCapture_v2", "cuStreamEndCapture", "cuGraphInstantiateWithFlags", "cuGraphDestroy"]
    assert driver.calls == [*made, "cuGraphLaunch", "cuGraphLaunch", "cuGraphExecDestroy"]


@pytest.mark.parametrize(
    "fails", ["cuStreamBeginCapture_v2", "cuStreamEndCapture", "cuGraphInstantiateWithFlags"]
)
def test_a_graph_that_the_driver_refuses_names_the_call(fails: str) -> None:
    with pytest.raises(EngineError, match=rf"{fails[:15]}.* failed with CUDA error 901"):
        CudaGraph(7, lambda: None, driver=FakeDriver(fails))


def test_a_capture_ends_even_if_its_work_fails() -> None:
    driver = FakeDriver()

    def work() -> None:
        raise EngineError("enqueue")

    with pytest.raises(EngineError, match="enqueue"):
        CudaGraph(7, work, driver=driver)
    assert driver.calls == ["cuStreamBeginCapture_v2", "cuStreamEndCapture"]


def attributes(module: Any, owner: str) -> set[str]:
    """Names that a module's source reads from a variable."""
    return set(re.findall(rf"\b{owner}\.([A-Za-z_]\w*)", inspect.getsource(module)))


def test_the_real_bindings_have_what_the_engine_calls() -> None:
    trt = pytest.importorskip("tensorrt_rtx")
    users = (tensorrt_bindings, tensorrt_engine, tensorrt_worker)
    uses = {
        "trt": (trt, {name for module in users for name in attributes(module, "trt")}),
        "engine": (trt.ICudaEngine, attributes(tensorrt_engine, "engine") - {"Engine", "infer", "plan"}),
        "context": (trt.IExecutionContext, attributes(tensorrt_engine, "_context")),
        "runtime": (trt.Runtime, attributes(tensorrt_engine, "runtime")),
        "builder": (trt.Builder, attributes(tensorrt_worker, "builder")),
        "network": (trt.INetworkDefinition, attributes(tensorrt_worker, "network")),
        "config": (trt.IBuilderConfig, attributes(tensorrt_worker, "config")),
        "parser": (trt.OnnxParser, attributes(tensorrt_worker, "parser")),
    }
    for what, (owner, names) in uses.items():
        assert names, what
        missing = {name for name in names if not hasattr(owner, name)}
        assert not missing, (what, missing)
    enqueue = str(trt.IExecutionContext.execute_async_v3.__doc__)
    assert "stream_handle: typing.SupportsInt) -> bool" in enqueue
    address = str(trt.IExecutionContext.set_tensor_address.__doc__)
    assert "name: str, memory: typing.SupportsInt) -> bool" in address


def test_the_real_cuda_bindings_have_what_memory_calls() -> None:
    runtime = pytest.importorskip("cuda.bindings.runtime")
    names = attributes(cuda_bindings_memory, "cudart")
    assert len(names) > 10
    assert not {name for name in names if not hasattr(runtime, name)}
    copy = inspect.signature(runtime.cudaMemcpyAsync)
    assert list(copy.parameters) == ["dst", "src", "count", "kind", "stream"]
    assert list(inspect.signature(runtime.cudaHostAlloc).parameters) == ["size", "flags"]


def test_both_memories_have_the_whole_interface() -> None:
    wanted = {name for name in vars(DeviceMemory) if not name.startswith("_")}
    for file in ("pycuda_memory", "cuda_bindings_memory"):
        text = (Path(tensorrt_engine.__file__).parent / f"{file}.py").read_text()
        defined = set(re.findall(r"def (\w+)\(self", text))
        assert wanted <= defined, file
    assert wanted == {"buffer", "upload", "download", "synchronize", "close"}


def test_the_engine_imports_no_gpu_library_by_being_imported() -> None:
    assert (
        not {"pycuda", "tensorrt", "cuda_graph.pycuda"} & set(vars(tensorrt_engine)) & set(vars(cuda_graph))
    )


def has_gpu() -> bool:
    try:
        first_gpu()
    except EngineError:
        return False
    return True


@pytest.mark.skipif(has_gpu(), reason="this machine has a GPU")
def test_no_gpu_is_one_line_and_no_crash(model: Path) -> None:
    with pytest.raises(
        EngineError, match=r"GPU: .* Run the station on a machine with an NVIDIA GPU"
    ) as caught:
        open_engine(model, runtime="tensorrt-rtx", precision="fp16", threads=1)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(has_gpu(), reason="this machine has a GPU")
def test_memory_without_a_gpu_names_the_call() -> None:
    pytest.importorskip("cuda.bindings")
    with pytest.raises(EngineError, match="GPU: cudaSetDevice failed: cudaError"):
        open_memory("cuda-bindings")
