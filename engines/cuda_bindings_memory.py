"""Memory and stream by cuda-bindings, in the primary context of device 0."""

from __future__ import annotations

import ctypes
import math
from importlib.metadata import version
from typing import Any

import numpy as np
from cuda.bindings import runtime as cudart

from engines.device_memory import Buffer
from engines.engine import EngineError


class CudaBindingsMemory:
    """See `engines.device_memory.DeviceMemory`."""

    def __init__(self) -> None:
        self.name = f"cuda-bindings {version('cuda-bindings')}"
        _call(cudart.cudaSetDevice, 0)
        self._stream: Any = _call(cudart.cudaStreamCreateWithFlags, cudart.cudaStreamNonBlocking)
        self.stream = int(self._stream)
        self._device: list[int] = []
        self._host: list[int] = []

    def buffer(self, shape: tuple[int, ...], dtype: Any, *, mapped: bool) -> Buffer:
        """Pinned host memory, and device memory unless it is mapped."""
        size = math.prod(shape) * np.dtype(dtype).itemsize
        flags = cudart.cudaHostAllocMapped if mapped else cudart.cudaHostAllocDefault
        pinned = int(_call(cudart.cudaHostAlloc, size, flags))
        self._host.append(pinned)
        raw = (ctypes.c_uint8 * size).from_address(pinned)
        host = np.frombuffer(raw, dtype).reshape(shape)
        if mapped:
            return Buffer(host, int(_call(cudart.cudaHostGetDevicePointer, pinned, 0)), mapped=True)
        device = int(_call(cudart.cudaMalloc, size))
        self._device.append(device)
        return Buffer(host, device, mapped=False)

    def upload(self, buffer: Buffer) -> None:
        """Enqueue the copy from host to GPU."""
        if not buffer.mapped:
            self._copy(buffer.address, buffer.host.ctypes.data, buffer, "cudaMemcpyHostToDevice")

    def download(self, buffer: Buffer) -> None:
        """Enqueue the copy from GPU to host."""
        if not buffer.mapped:
            self._copy(buffer.host.ctypes.data, buffer.address, buffer, "cudaMemcpyDeviceToHost")

    def synchronize(self) -> None:
        """Wait until all that was enqueued is done."""
        _call(cudart.cudaStreamSynchronize, self._stream)

    def close(self) -> None:
        """Free buffers and stream; safe to call again."""
        if self._stream is None:
            return
        for device in self._device:
            cudart.cudaFree(device)
        for host in self._host:
            cudart.cudaFreeHost(host)
        cudart.cudaStreamDestroy(self._stream)
        self._device, self._host, self._stream = [], [], None

    def _copy(self, target: int, source: int, buffer: Buffer, kind: str) -> None:
        way = getattr(cudart.cudaMemcpyKind, kind)
        _call(cudart.cudaMemcpyAsync, target, source, buffer.host.nbytes, way, self._stream)


def _call(function: Any, *arguments: Any) -> Any:
    """The one result of a call, which also returns its error code.

    Raises:
        EngineError: the code is not success.
    """
    code, *results = function(*arguments)
    if code != cudart.cudaError_t.cudaSuccess:
        raise EngineError(
            f"GPU: {function.__name__} failed: {code.name}. Look at the driver: nvidia-smi, dmesg"
        )
    return results[0] if results else None
