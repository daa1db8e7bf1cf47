"""The shared-memory ring: frames pass between processes as slot numbers, their pixels are never copied.

One ring a camera. The memory is an unnamed file in /dev/shm whose descriptor the children inherit, so
nothing is left behind however a process ends. All of it is allocated at the start: a full /dev/shm is an
error message then and not a bus error later.

The station alone owns the account of the slots (`dispatch.SlotAccount`): a slot is with the capture
process to be filled, or on its way to be read. There is no state in the shared memory itself that a dead
process could leave locked.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.config import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from typing_extensions import Self

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - the kernel's shared memory, not a place for files


def page_bytes(size: int) -> int:
    """Size rounded up to whole memory pages."""
    return -(-size // mmap.PAGESIZE) * mmap.PAGESIZE


class Ring:
    """`slots` slots of `slot_bytes` bytes in shared memory, mapped into this process."""

    def __init__(self, fd: int, *, slots: int, slot_bytes: int, writable: bool) -> None:
        """Map the ring behind the descriptor `fd`, which is closed with the ring."""
        self.fd = fd
        self.slots = slots
        self.slot_bytes = slot_bytes
        access = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
        self._memory: mmap.mmap | None = mmap.mmap(fd, slots * slot_bytes, prot=access)

    @classmethod
    def create(cls, directory: Path, *, slots: int, slot_bytes: int) -> Ring:
        """Allocate a new ring in `directory`, a tmpfs.

        Raises:
            ConfigError: there is not enough shared memory.
        """
        size = slots * slot_bytes
        try:
            fd = os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigError(f"shared memory: {directory} cannot be used ({error.strerror}).") from error
        try:
            os.posix_fallocate(fd, 0, size)
        except OSError as error:
            os.close(fd)
            stat = os.statvfs(directory)
            raise ConfigError(
                f"shared memory: found {stat.f_bavail * stat.f_frsize / 2**20:.1f} MiB free in {directory}, "
                f"expected {size / 2**20:.1f} MiB ({slots} slots of {slot_bytes} bytes): {error.strerror}. "
                "Free or enlarge it (Docker: --shm-size), or lower ring.slots."
            ) from error
        return cls(fd, slots=slots, slot_bytes=slot_bytes, writable=False)

    def view(self, slot: int, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """Pixels of a slot as an array of `shape`, uint8, without a copy; read-only for a reader.

        Raises:
            ValueError: there is no such slot, or the shape does not fit into it.
        """
        size = int(np.prod(shape))
        if self._memory is None or not 0 <= slot < self.slots or size > self.slot_bytes:
            raise ValueError(
                f"ring: slot {slot} with shape {shape}, have {self.slots} x {self.slot_bytes} bytes"
            )
        array = np.frombuffer(self._memory, np.uint8, count=size, offset=slot * self.slot_bytes)
        return array.reshape(shape)

    def close(self) -> None:
        """Unmap; safe to call again. Arrays handed out before must not be alive."""
        if self._memory is not None:
            self._memory.close()
            self._memory = None
            os.close(self.fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
