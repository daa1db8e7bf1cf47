"""TensorRT 10.3 to 11 and TensorRT-RTX: one code path, the module chosen by name.

Everything is allocated once. A frame is: copy into pinned memory, one launch, wait, copy out. On a GPU that
shares the CPU's memory (Jetson) the pinned memory is mapped and nothing is copied between the two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from engines.cuda_graph import CudaGraph
from engines.device_memory import open_memory
from engines.engine import EngineError, EngineInfo, EngineOutput
from engines.gpu import first_gpu
from engines.manifest import engine_info, load_manifest
from engines.sidecar import check_gpu, check_listed, check_runtime, load_sidecar
from engines.targets import BINDINGS, build_command, engine_folder
from engines.tensorrt_bindings import bindings, dtype_name, first_error, make_logger
from engines.tensors import INPUT, MAP, SCORE, Signature, check_image, check_signature

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray
    from typing_extensions import Self

    from engines.device_memory import Buffer, DeviceMemory, MemoryName
    from engines.gpu import Gpu
    from engines.sidecar import Sidecar

PLAN_NAME = "engine.plan"
WARM_UP = 3
"""Frames before the capture: the first ones load kernels, RTX compiles some, and neither may be captured."""


class Gpus(msgspec.Struct, frozen=True):
    """What an engine needs of the machine, so that tests can stand in for it.

    `module` gives TensorRT's Python module by its name, `gpu` the GPU, `memory` opens buffers and stream,
    `graph` captures what a function puts on a stream.
    """

    module: Callable[[str], Any] = bindings
    gpu: Callable[[], Gpu] = first_gpu
    memory: Callable[[MemoryName | None], DeviceMemory] = open_memory
    graph: Callable[[int, Callable[[], None]], CudaGraph] = CudaGraph


class TensorRtEngine:
    """One plan on the first GPU; checked before it is loaded, warmed up and captured once constructed.

    Args:
        model_dir: of the model.
        target: "tensorrt" or "tensorrt-rtx".
        precision: of the engine.
        folder: of the engine; None for its place in the model's folder.
        memory: package for memory and stream; None takes the one that is installed.
        machine: what stands for the machine.

    Raises:
        EngineError: there is no GPU or no engine for it, or it is of another model, runtime version or GPU.
    """

    def __init__(
        self,
        model_dir: Path,
        *,
        target: str,
        precision: str,
        folder: Path | None = None,
        memory: MemoryName | None = None,
        machine: Gpus | None = None,
    ) -> None:
        machine = machine or Gpus()
        manifest = load_manifest(model_dir)
        self._shape = manifest.input_shape
        path = (folder or engine_folder(model_dir, target, precision)) / PLAN_NAME
        do = build_command(model_dir, target, precision)
        sidecar = load_sidecar(
            model_dir, target=target, precision=precision, model_sha256=manifest.model_sha256, folder=folder
        )
        check_listed(sidecar, (PLAN_NAME,), where=path, do=do)
        trt, gpu = _checked(machine, sidecar, path, do)
        self._memory: DeviceMemory = machine.memory(memory)
        self._graph: CudaGraph | None = None
        self._runtime: Any = None
        self._engine: Any = None
        self._context: Any = None
        self._buffers: dict[str, Buffer] = {}
        self._closed = False
        try:
            self._runtime, self._engine, self._context = _loaded(trt, path, do)
            check_signature(_signature(trt, self._engine), manifest, where=str(path))
            self._buffers = self._allocate(trt, mapped=gpu.integrated)
            note = self._warm_up(machine)
        except BaseException:
            self.close()
            raise
        self._info = engine_info(
            manifest,
            runtime=target,
            version=str(trt.__version__),
            device=f"{gpu.name}, compute capability {gpu.compute_capability}",
            precision=precision,
            memory=self._memory.name + (", mapped" if gpu.integrated else ", pinned"),
            note=note,
        )

    @property
    def info(self) -> EngineInfo:
        """What the engine is and what it takes."""
        return self._info

    def infer(self, image: NDArray[np.uint8]) -> EngineOutput:
        """Anomaly map and image score of one raw camera image; see `engines.engine.Engine`."""
        if self._closed:
            raise EngineError(f"engine {self._info.model_id}: is closed. Open it again before infer.")
        check_image(image, self._shape)
        self._buffers[INPUT].host[...] = image
        if self._graph is None:
            self._enqueue()
        else:
            self._graph.launch()
        self._memory.synchronize()
        # The buffers are overwritten by the next frame; the result is the caller's to keep.
        return EngineOutput(float(self._buffers[SCORE].host[0]), self._buffers[MAP].host.copy())

    def close(self) -> None:
        """Free graph, engine and memory; safe to call again."""
        if self._closed:
            return
        self._closed = True
        if self._graph is not None:
            self._graph.close()
        self._graph = self._context = self._engine = self._runtime = None
        self._buffers = {}
        self._memory.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _allocate(self, trt: Any, *, mapped: bool) -> dict[str, Buffer]:
        """A buffer for each tensor, at an address that never changes: a captured graph keeps it."""
        buffers = {}
        for name, (dtype, shape) in _signature(trt, self._engine).items():
            buffer = self._memory.buffer(shape, np.dtype(dtype), mapped=mapped)
            if not self._context.set_tensor_address(name, buffer.address):
                raise EngineError(
                    f"tensor {name!r}: found address {buffer.address:#x} refused by TensorRT, "
                    "expected it taken."
                )
            buffer.host[...] = 0
            buffers[name] = buffer
        return buffers

    def _enqueue(self) -> None:
        """Put one frame's copies and kernels on the stream."""
        self._memory.upload(self._buffers[INPUT])
        if not self._context.execute_async_v3(self._memory.stream):
            raise EngineError(
                "GPU: TensorRT refused to enqueue a frame. Look at the driver: nvidia-smi, dmesg"
            )
        for name in (MAP, SCORE):
            self._memory.download(self._buffers[name])

    def _warm_up(self, machine: Gpus) -> str | None:
        """Run, then capture; a note if frames are enqueued one by one because the capture was refused."""
        for _ in range(WARM_UP):
            self._enqueue()
            self._memory.synchronize()
        try:
            self._graph = machine.graph(self._memory.stream, self._enqueue)
        except EngineError as error:
            return f"no CUDA graph, each frame is enqueued by itself: {error}"
        self._graph.launch()
        self._memory.synchronize()
        return None


def _checked(machine: Gpus, sidecar: Sidecar, path: Path, do: str) -> tuple[Any, Gpu]:
    """Module and GPU, if the engine was built for both. The driver is asked before the library is loaded."""
    gpu = machine.gpu()
    trt = machine.module(BINDINGS[sidecar.target])
    check_runtime(sidecar, str(trt.__version__), where=path, do=do)
    check_gpu(sidecar, gpu=gpu.name, compute_capability=gpu.compute_capability, where=path, do=do)
    return trt, gpu


def _loaded(trt: Any, path: Path, do: str) -> tuple[Any, Any, Any]:
    """Runtime, engine and context, each of which needs the one before it."""
    logger = make_logger(trt)
    runtime = trt.Runtime(logger)
    engine = runtime.deserialize_cuda_engine(path.read_bytes())
    if engine is None:
        raise EngineError(f"{path}: TensorRT {trt.__version__} cannot load it: {first_error(logger)}. {do}")
    context = engine.create_execution_context()
    if context is None:
        raise EngineError(f"{path}: no execution context; the GPU may lack free memory. Look at: nvidia-smi")
    return runtime, engine, context


def _signature(trt: Any, engine: Any) -> Signature:
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    return {
        name: (dtype_name(trt, engine.get_tensor_dtype(name)), tuple(engine.get_tensor_shape(name)))
        for name in names
    }
