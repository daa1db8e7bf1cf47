"""Writes a recording: one chunk a frame, handed to the kernel at once; a kill costs no whole frame."""

from __future__ import annotations

import time
from typing import IO, TYPE_CHECKING, cast

import msgspec
import numpy as np
from mcap.well_known import SchemaEncoding
from mcap.writer import LIBRARY_IDENTIFIER, CompressionType, Writer

from pipeline.recording import (
    MESSAGE_ENCODING,
    METADATA_NAME,
    SCHEMA_NAME,
    Compression,
    RecordedFrame,
    RecordingError,
    RecordingInfo,
    topic_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from io import FileIO
    from pathlib import Path

    from typing_extensions import Self

    from pipeline.cameras.camera import CameraInfo
    from pipeline.frame import Frame

CHUNK_BYTES = 1
"""A chunk is closed when it is larger than this: after every frame."""
MAX_TIME_NS = 2**64 - 1
_COMPRESSIONS = {
    "zstd": CompressionType.ZSTD,
    "lz4": CompressionType.LZ4,
    "none": CompressionType.NONE,
}


class _WholeWrites:
    """A file without a buffer whose `write` takes everything or raises OSError."""

    def __init__(self, raw: FileIO) -> None:
        self._raw = raw

    def write(self, data: bytes) -> int:
        left = memoryview(data)
        while left:
            left = left[self._raw.write(left) :]
        return len(data)

    def tell(self) -> int:
        return self._raw.tell()


class RecordingWriter:
    """One new recording. Used from one thread.

    A message's time is the frame's exposure in UTC, by one offset for the whole file between UTC and the
    monotonic clock: no step of UTC can bend the spacing of frames. Its sequence number is the caller's.
    """

    def __init__(
        self,
        path: Path,
        info: RecordingInfo,
        cameras: Sequence[CameraInfo],
        *,
        compression: Compression,
        force: bool,
    ) -> None:
        self.path = path
        self.frames = 0
        self._to_utc_ns = time.time_ns() - time.monotonic_ns()
        self._encoder = msgspec.msgpack.Encoder()
        try:
            self._file = path.open("wb" if force else "xb", buffering=0)
        except FileExistsError as error:
            raise RecordingError(
                f"{path}: exists. Choose another file, or add --force to replace it."
            ) from error
        except OSError as error:
            raise RecordingError(f"{path}: cannot be written ({error.strerror}).") from error
        self._mcap = Writer(
            cast("IO[bytes]", _WholeWrites(self._file)),
            chunk_size=CHUNK_BYTES,
            compression=_COMPRESSIONS[compression],
        )
        try:
            self._channels = self._begin(info, cameras)
        except OSError as error:
            raise self._give_up(error, 0) from error

    def _begin(self, info: RecordingInfo, cameras: Sequence[CameraInfo]) -> dict[str, int]:
        self._mcap.start(library=f"{info.format} {LIBRARY_IDENTIFIER}")
        self._mcap.add_metadata(METADATA_NAME, msgspec.structs.asdict(info))
        schema = self._mcap.register_schema(
            SCHEMA_NAME,
            SchemaEncoding.JSONSchema,
            msgspec.json.encode(msgspec.json.schema(RecordedFrame)),
        )
        return {
            camera.name: self._mcap.register_channel(
                topic_of(camera.name), MESSAGE_ENCODING, schema, {"camera": _as_json(camera)}
            )
            for camera in cameras
        }

    def write(self, frame: Frame, sequence: int) -> None:
        """Append a frame; `sequence` counts a camera's frames, those that could not be kept included.

        Raises:
            RecordingError: the disk does not take it; the file is readable up to the frame before.
        """
        if self._file.closed:
            raise RecordingError(f"{self.path}: is closed after {self.frames} frames. Start a new recording.")
        header = frame.header
        recorded = RecordedFrame(header=header, pixels=np.ascontiguousarray(frame.pixels).reshape(-1).data)
        exposed_ns = min(max(0, header.exposed_ns + self._to_utc_ns), MAX_TIME_NS)
        whole_bytes = self._file.tell()
        try:
            self._mcap.add_message(
                self._channels[header.camera],
                log_time=exposed_ns,
                publish_time=exposed_ns,
                sequence=sequence & 0xFFFFFFFF,
                data=self._encoder.encode(recorded),
            )
        except OSError as error:
            raise self._give_up(error, whole_bytes) from error
        self.frames += 1

    def close(self) -> None:
        """Write the index that makes the file whole, and close it; safe to call again.

        Raises:
            RecordingError: the disk does not take the index; the frames are readable all the same.
        """
        if self._file.closed:
            return
        whole_bytes = self._file.tell()
        try:
            self._mcap.finish()  # type: ignore[no-untyped-call]
        except OSError as error:
            raise self._give_up(error, whole_bytes) from error
        self._file.close()

    def _give_up(self, error: OSError, whole_bytes: int) -> RecordingError:
        """Cut off what is not whole; nothing more can be written."""
        self._file.truncate(whole_bytes)
        self._file.close()
        return RecordingError(
            f"{self.path}: {error.strerror} after {self.frames} frames. It is readable up to there."
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _as_json(camera: CameraInfo) -> str:
    return msgspec.json.encode(camera).decode()
