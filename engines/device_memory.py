"""Memory and one stream of a GPU, behind one interface: pycuda first, cuda-bindings as the alternative."""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from engines.engine import EngineError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MemoryName = Literal["pycuda", "cuda-bindings"]
_KINDS = {
    "pycuda": ("engines.pycuda_memory", "PycudaMemory"),
    "cuda-bindings": ("engines.cuda_bindings_memory", "CudaBindingsMemory"),
}


class Buffer(NamedTuple):
    """One tensor's place: `host` is pinned, `address` what the GPU reads or writes.

    With `mapped` both are the same memory, and nothing has to be copied.
    """

    host: NDArray[Any]
    address: int
    mapped: bool


class DeviceMemory(Protocol):
    """Buffers and one stream on the first GPU. Constructing it makes the stream; `close()` is idempotent."""

    name: str
    """The package and its version."""
    stream: int
    """Handle of a stream of its own, not the default one."""

    def buffer(self, shape: tuple[int, ...], dtype: Any, *, mapped: bool) -> Buffer:
        """Allocate once for a tensor; freed by `close`.

        Args:
            shape: of the tensor.
            dtype: NumPy's.
            mapped: share the host's memory with the GPU, for one that has no memory of its own.
        """
        ...

    def upload(self, buffer: Buffer) -> None:
        """Enqueue the copy from host to GPU; nothing where the buffer is mapped."""
        ...

    def download(self, buffer: Buffer) -> None:
        """Enqueue the copy from GPU to host; nothing where the buffer is mapped."""
        ...

    def synchronize(self) -> None:
        """Wait until all that was enqueued is done.

        Raises:
            EngineError: something of it failed.
        """
        ...

    def close(self) -> None:
        """Free buffers and stream; safe to call again."""
        ...


def installed_memory() -> MemoryName:
    """Which of the packages is installed, pycuda before cuda-bindings.

    Raises:
        EngineError: neither is.
    """
    if _is_installed("pycuda"):
        return "pycuda"
    if _is_installed("cuda.bindings"):
        return "cuda-bindings"
    raise EngineError(
        "GPU memory: found neither pycuda nor cuda-bindings, expected one. Run: pip install pycuda "
        "(needs the CUDA toolkit), or pip install cuda-bindings"
    )


def open_memory(name: MemoryName | None = None) -> DeviceMemory:
    """Open the package of this name, or with None the one that is installed; never another than named.

    Raises:
        EngineError: it is not installed, or the GPU refuses.
    """
    name = installed_memory() if name is None else name
    module, kind = _KINDS[name]
    try:
        memory: DeviceMemory = getattr(importlib.import_module(module), kind)()
    except ImportError as error:
        raise EngineError(
            f"GPU memory: {name} cannot be imported ({error}). Run: pip install --force-reinstall {name}"
        ) from error
    return memory


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # the parent package is missing
        return False
