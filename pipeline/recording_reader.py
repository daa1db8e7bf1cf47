"""Reads recordings, whole or torn off, frame by frame in any order."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import zstandard
from mcap.exceptions import McapError
from mcap.records import Chunk, Message

from pipeline.frame import Frame
from pipeline.recording import RecordedFrame, RecordingError
from pipeline.recording_chunk import unpacked
from pipeline.recording_index import PREFIX, RecordingIndex, body_at

if TYPE_CHECKING:
    from pathlib import Path

    from typing_extensions import Self

    from pipeline.recording_index import FrameRef

# A wrong checksum is a ValueError; lz4 raises RuntimeError.
_DAMAGED = (
    McapError,
    zstandard.ZstdError,
    RuntimeError,
    msgspec.MsgspecError,
    struct.error,
    ValueError,
    KeyError,
    MemoryError,
    OverflowError,
    RecursionError,
)


class Recording:
    """One recording, opened for reading. Used from one thread.

    `torn`: the file has no end, as a killed recorder or a full disk leaves it; the frames before are there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise RecordingError(
                f"{path}: cannot be read ({error.strerror}). Name an existing recording."
            ) from error
        try:
            index = RecordingIndex(self._file)
        except (RecordingError, *_DAMAGED) as error:
            self.close()
            raise RecordingError(f"{path}: {error}") from error
        self.info, self.cameras, self.torn = index.info, index.cameras, index.torn
        self.frames = index.refs
        self._decoder = msgspec.msgpack.Decoder(RecordedFrame)

    def frames_of(self, camera: str) -> list[FrameRef]:
        """The frames of one camera in the order of their exposure, as `frames` has those of all."""
        return [ref for ref in self.frames if ref.camera == camera]

    def read(self, ref: FrameRef) -> Frame:
        """The frame: header and pixels as they were recorded; the array is read-only, and stays valid.

        Raises:
            RecordingError: it is damaged.
        """
        return self.read_numbered(ref)[1]

    def read_numbered(self, ref: FrameRef) -> tuple[int, Frame]:
        """The frame behind its sequence number: a gap in these is a frame that the recorder had to drop.

        Raises:
            RecordingError: it is damaged.
        """
        try:
            chunk = Chunk.read(body_at(self._file, ref.chunk))
            stream, _ = unpacked(chunk)
            stream.read(ref.offset)
            _, length = PREFIX.unpack(stream.read(PREFIX.size))
            message = Message.read(stream, length)
            recorded = self._decoder.decode(message.data)
            pixels = np.frombuffer(recorded.pixels, np.uint8).reshape(recorded.header.shape)
        except (RecordingError, *_DAMAGED) as error:
            raise RecordingError(f"{self.path}: a frame of {ref.camera} is damaged: {error}") from error
        return message.sequence, Frame(recorded.header, pixels)

    def close(self) -> None:
        """Close the file; safe to call again."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
