"""Stand-ins for TensorRT, a GPU and its memory: they keep the order of calls and compute on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from engines.device_memory import Buffer
from engines.engine import EngineError
from engines.gpu import Gpu
from engines.load import open_engine
from engines.tensorrt_engine import Gpus
from engines.tensors import INPUT, MAP, SCORE

if TYPE_CHECKING:
    from collections.abc import Callable

VERSION = "1.7.1.116"
GPU = Gpu(name="NVIDIA RTX A2000", compute_capability="8.6", integrated=False)


class FakeMemory:
    """Host and device are two arrays; a copy happens when it is enqueued."""

    name = "fake memory 1.0"
    stream = 77

    def __init__(self, calls: list[str]) -> None:
        self.calls = calls
        self.device: dict[int, np.ndarray] = {}
        self.closed = 0

    def buffer(self, shape: tuple[int, ...], dtype: Any, *, mapped: bool) -> Buffer:
        host = np.full(shape, 9, dtype)
        address = 0x1000 * (len(self.device) + 1)
        self.device[address] = host if mapped else np.zeros_like(host)
        self.calls.append(f"buffer {np.dtype(dtype)} {shape}")
        return Buffer(host, address, mapped)

    def upload(self, buffer: Buffer) -> None:
        self.calls.append("upload")
        if not buffer.mapped:
            self.device[buffer.address][...] = buffer.host

    def download(self, buffer: Buffer) -> None:
        self.calls.append("download")
        if not buffer.mapped:
            buffer.host[...] = self.device[buffer.address]

    def synchronize(self) -> None:
        self.calls.append("synchronize")

    def close(self) -> None:
        self.closed += 1


class FakeGraph:
    """Runs the captured work again at each launch."""

    def __init__(self, stream: int, work: Callable[[], None], calls: list[str]) -> None:
        assert stream == FakeMemory.stream
        calls.append("capture")
        work()
        self.work, self.calls = work, calls

    def launch(self) -> None:
        self.calls.append("launch")
        self.work()

    def close(self) -> None:
        self.calls.append("graph closed")


class FakeTensorRt:
    """What of the Python module the engine uses; see `test_the_real_bindings_have_what_the_engine_calls`."""

    def __init__(
        self, model_dir: Path, memory: FakeMemory, calls: list[str], tensors: dict[str, Any]
    ) -> None:
        self.model_dir, self.memory, self.calls, self.tensors = model_dir, memory, calls, tensors
        self.__version__ = VERSION
        self.addresses: dict[str, int] = {}
        self.names = list(tensors)
        self.num_io_tensors = len(tensors)
        self.refuse: set[str] = set()

    class ILogger:
        class Severity:
            ERROR = 1

    def nptype(self, dtype: Any) -> Any:
        return dtype

    def Runtime(self, logger: Any) -> FakeTensorRt:
        assert isinstance(logger, self.ILogger)
        self.logger: Any = logger
        self.calls.append("runtime")
        return self

    def deserialize_cuda_engine(self, plan: bytes) -> FakeTensorRt | None:
        self.calls.append("deserialise")
        if "engine" in self.refuse:
            self.logger.log(self.ILogger.Severity.ERROR, "the plan is of another world\n")
            return None
        return self

    def create_execution_context(self) -> FakeTensorRt | None:
        return None if "context" in self.refuse else self

    def get_tensor_name(self, index: int) -> str:
        return self.names[index]

    def get_tensor_dtype(self, name: str) -> Any:
        return self.tensors[name][0]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        shape: tuple[int, ...] = self.tensors[name][1]
        return shape

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self.addresses[name] = memory
        return "address" not in self.refuse

    def execute_async_v3(self, stream_handle: int) -> bool:
        assert stream_handle == self.memory.stream
        self.calls.append("enqueue")
        if "enqueue" in self.refuse:
            return False
        device = self.memory.device
        with open_engine(self.model_dir, runtime="onnxruntime", threads=1) as engine:
            output = engine.infer(np.ascontiguousarray(device[self.addresses[INPUT]]))
        device[self.addresses[MAP]][...] = output.anomaly_map
        device[self.addresses[SCORE]][...] = output.score
        return True


class Machine(NamedTuple):
    """A machine with a GPU that is not there."""

    gpus: Gpus
    trt: FakeTensorRt
    memory: FakeMemory
    calls: list[str]


def make_machine(
    model_dir: Path, tensors: dict[str, Any], gpu: Gpu = GPU, *, capture: bool = True
) -> Machine:
    """A machine whose TensorRT computes the model of a folder."""
    calls: list[str] = []
    memory = FakeMemory(calls)
    trt = FakeTensorRt(model_dir, memory, calls, tensors)

    def graph(stream: int, work: Callable[[], None]) -> Any:
        if not capture:
            raise EngineError("GPU: cuStreamEndCapture failed with CUDA error 901.")
        return FakeGraph(stream, work, calls)

    def find() -> Gpu:
        calls.append("driver")
        return gpu

    def module(name: str) -> Any:
        calls.append(f"import {name}")
        return trt

    return Machine(Gpus(module, find, lambda _: memory, graph), trt, memory, calls)
