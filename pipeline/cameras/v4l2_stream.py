"""The mapped buffers of one streaming V4L2 device: filled ones come out, used ones go back."""

from __future__ import annotations

import mmap
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from pipeline.cameras import v4l2_abi as abi

if TYPE_CHECKING:
    from numpy.typing import NDArray

BUFFERS = 4


class Filled(msgspec.Struct, frozen=True, kw_only=True):
    """A filled buffer; `stamp_ns` is the driver's timestamp, of the host's clock if `monotonic`."""

    index: int
    sequence: int
    used_bytes: int
    stamp_ns: int
    monotonic: bool
    stamped_at_start: bool
    faulty: bool


class V4l2Stream:
    """`BUFFERS` mapped buffers, queued, and the stream running.

    Raises (all methods):
        OSError: the device is gone or busy.
    """

    def __init__(self, device: abi.Device) -> None:
        self._device = device
        self._maps: list[mmap.mmap] = []
        try:
            self._start()
        except OSError:
            self.close()
            raise

    def __len__(self) -> int:
        return len(self._maps)

    def take(self) -> Filled | None:
        """The oldest filled buffer, None if there is none; it is the caller's until `give_back`."""
        try:
            buffer = self._device.ask(abi.VIDIOC_DQBUF, _buffer(0))
        except BlockingIOError:
            return None
        return Filled(
            index=int(buffer.index),
            sequence=int(buffer.sequence),
            used_bytes=int(buffer.bytesused),
            stamp_ns=int(buffer.seconds) * 10**9 + int(buffer.microseconds) * 1_000,
            monotonic=buffer.flags & abi.BUF_FLAG_TIMESTAMP_MASK == abi.BUF_FLAG_TIMESTAMP_MONOTONIC,
            stamped_at_start=buffer.flags & abi.BUF_FLAG_TSTAMP_SRC_MASK == abi.BUF_FLAG_TSTAMP_SRC_SOE,
            faulty=bool(buffer.flags & abi.BUF_FLAG_ERROR),
        )

    def give_back(self, index: int) -> None:
        """Let the driver fill the buffer again."""
        self._device.ask(abi.VIDIOC_QBUF, _buffer(index))

    def data(self, filled: Filled) -> NDArray[np.uint8]:
        """The bytes in use, without a copy: valid until `give_back`."""
        return np.frombuffer(self._maps[filled.index], np.uint8, filled.used_bytes)

    def close(self) -> None:
        """Stop the stream, unmap the buffers."""
        with suppress(OSError):  # an unplugged device cannot be stopped, only forgotten
            self._device.ask(abi.VIDIOC_STREAMOFF, abi.BufferType(type=abi.CAPTURE))
        for mapped in self._maps:
            mapped.close()
        self._maps = []

    def _start(self) -> None:
        asked = abi.BufferRequest(count=BUFFERS, type=abi.CAPTURE, memory=abi.MMAP)
        for index in range(self._device.ask(abi.VIDIOC_REQBUFS, asked).count):
            buffer = self._device.ask(abi.VIDIOC_QUERYBUF, _buffer(index))
            self._maps.append(mmap.mmap(self._device.fd, buffer.length, offset=buffer.offset & 0xFFFF_FFFF))
            self.give_back(index)
        self._device.ask(abi.VIDIOC_STREAMON, abi.BufferType(type=abi.CAPTURE))


def _buffer(index: int) -> abi.Buffer:
    return abi.Buffer(index=index, type=abi.CAPTURE, memory=abi.MMAP)
