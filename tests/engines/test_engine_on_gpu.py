"""Memory, stream and CUDA graph of an engine on a real GPU, whichever runtime it can have."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from engines.cuda_graph import CudaGraph
from engines.device_memory import MemoryName, open_memory
from engines.engine import EngineError
from engines.geometry import Geometry
from engines.gpu import first_gpu
from engines.manifest import load_manifest
from engines.tensorrt_engine import Gpus, TensorRtEngine
from engines.tensors import expected_signature
from support.manifests import make_manifest
from support.plans import write_plan
from support.tiny_model import write_model

pytestmark = pytest.mark.gpu
PACKAGES: dict[MemoryName, str] = {"pycuda": "pycuda", "cuda-bindings": "cuda.bindings"}
SIZE = (200, 320)


@pytest.fixture(params=list(PACKAGES))
def memory_name(request: pytest.FixtureRequest) -> MemoryName:
    name: MemoryName = request.param
    pytest.importorskip(PACKAGES[name], reason=f"{name} is not installed")
    return name


@pytest.mark.parametrize("mapped", [False, True], ids=["copied", "mapped"])
def test_what_goes_up_comes_down(memory_name: MemoryName, mapped: bool) -> None:
    memory = open_memory(memory_name)
    sent = np.random.default_rng(0).integers(0, 256, (1200, 1920), np.uint8)
    buffer = memory.buffer(sent.shape, sent.dtype, mapped=mapped)
    buffer.host[...] = sent
    memory.upload(buffer)
    memory.synchronize()
    if not mapped:
        buffer.host[...] = 0
    memory.download(buffer)
    memory.synchronize()
    np.testing.assert_array_equal(buffer.host, sent)
    memory.close()
    memory.close()


def test_a_graph_does_its_copies_again_at_each_launch(memory_name: MemoryName) -> None:
    memory = open_memory(memory_name)
    buffer = memory.buffer((64,), np.float32, mapped=False)

    def work() -> None:
        memory.upload(buffer)
        memory.download(buffer)

    graph = CudaGraph(memory.stream, work)
    for value in (1.0, 2.0):
        buffer.host[...] = value
        graph.launch()
        memory.synchronize()
        assert (buffer.host == value).all()
    graph.close()
    graph.close()
    memory.close()


def test_what_cannot_be_captured_is_an_error_and_the_stream_lives_on(memory_name: MemoryName) -> None:
    memory = open_memory(memory_name)
    buffer = memory.buffer((64,), np.float32, mapped=False)

    def waits() -> None:
        memory.upload(buffer)
        memory.synchronize()  # CUDA forbids to wait for a stream that is being captured

    with pytest.raises((EngineError, RuntimeError)):
        CudaGraph(memory.stream, waits)
    memory.upload(buffer)
    memory.synchronize()
    memory.close()


@pytest.mark.parametrize("mapped", [False, True], ids=["copied", "mapped"])
def test_the_engine_gives_what_the_cpu_gives(memory_name: MemoryName, mapped: bool, tmp_path: Path) -> None:
    """With PyTorch's kernels in TensorRT's place; all else is what a station runs."""
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("this PyTorch has no CUDA")
    from engines.export import export_onnx
    from engines.hlgfa import Hlgfa, NetworkSettings
    from support.torch_tensorrt import TorchTensorRt

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.manual_seed(0)
    network = Hlgfa(Geometry(input_px=SIZE, hr_px=(64, 64), channels=1), NetworkSettings())
    data = export_onnx(network)
    model = write_model(tmp_path / "part", data, make_manifest(data, network.geometry, model_id="part"))
    images = np.random.default_rng(1).integers(0, 256, (3, *SIZE), np.uint8)
    with torch.no_grad():
        expected = [network(torch.from_numpy(image)) for image in images]

    signature = expected_signature(load_manifest(model))
    gpu = msgspec.structs.replace(first_gpu(), integrated=mapped)
    machine = Gpus(module=lambda _: TorchTensorRt(network, signature, "10.13"), gpu=lambda: gpu)
    here = {"gpu": gpu.name, "compute_capabilities": [gpu.compute_capability]}
    write_plan(model, target="tensorrt", precision="fp32", changes=here)
    with TensorRtEngine(
        model, target="tensorrt", precision="fp32", memory=memory_name, machine=machine
    ) as engine:
        assert engine.info.note is None, "the CUDA graph was not captured"
        assert engine.info.memory is not None
        assert engine.info.memory.startswith(memory_name)
        for image, (anomaly_map, score) in zip(images, expected, strict=True):
            output = engine.infer(image)
            np.testing.assert_allclose(output.anomaly_map, anomaly_map.numpy(), atol=2e-3, rtol=1e-3)
            assert output.score == pytest.approx(score.item(), abs=2e-3, rel=1e-3)
            again = engine.infer(image)
            assert again.score == output.score
            np.testing.assert_array_equal(again.anomaly_map, output.anomaly_map)
