"""Memory and stream by pycuda, in the primary context, which TensorRT uses too."""

from __future__ import annotations

from typing import Any

import numpy as np
import pycuda
import pycuda.autoprimaryctx  # makes the primary context current in this thread
import pycuda.driver as cuda

from engines.device_memory import Buffer
from engines.engine import EngineError


class PycudaMemory:
    """See `engines.device_memory.DeviceMemory`."""

    def __init__(self) -> None:
        self.name = f"pycuda {pycuda.VERSION_TEXT}"
        self._stream: Any = cuda.Stream()
        self.stream = int(self._stream.handle)
        self._device: list[Any] = []
        self._host: list[Any] = []

    def buffer(self, shape: tuple[int, ...], dtype: Any, *, mapped: bool) -> Buffer:
        """Pinned host memory, and device memory unless it is mapped."""
        try:
            flags = cuda.host_alloc_flags.DEVICEMAP if mapped else 0
            host = cuda.pagelocked_empty(shape, np.dtype(dtype), mem_flags=flags)
            self._host.append(host.base)
            if mapped:
                return Buffer(host, int(host.base.get_device_pointer()), mapped=True)
            device = cuda.mem_alloc(host.nbytes)
        except cuda.Error as error:
            raise EngineError(f"GPU memory: {shape} of {np.dtype(dtype)}: pycuda failed: {error}") from error
        self._device.append(device)
        return Buffer(host, int(device), mapped=False)

    def upload(self, buffer: Buffer) -> None:
        """Enqueue the copy from host to GPU."""
        if not buffer.mapped:
            cuda.memcpy_htod_async(buffer.address, buffer.host, self._stream)

    def download(self, buffer: Buffer) -> None:
        """Enqueue the copy from GPU to host."""
        if not buffer.mapped:
            cuda.memcpy_dtoh_async(buffer.host, buffer.address, self._stream)

    def synchronize(self) -> None:
        """Wait until all that was enqueued is done."""
        try:
            self._stream.synchronize()
        except cuda.Error as error:
            raise EngineError(f"GPU: the work of this frame failed: {error}") from error

    def close(self) -> None:
        """Free buffers and stream; safe to call again."""
        for device in self._device:
            device.free()
        for host in self._host:
            host.free()
        self._device, self._host, self._stream = [], [], None
