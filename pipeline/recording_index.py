"""Finds the frames of a recording, whole or torn off, by the indexes beside its chunks.

Pixels are jumped over, so this is fast; the file's own summary, which a torn file lacks, is not needed.
"""

from __future__ import annotations

import io
import struct
from typing import IO, TYPE_CHECKING

import msgspec
from mcap.data_stream import ReadDataStream
from mcap.opcode import Opcode
from mcap.records import Channel, Chunk, Message, MessageIndex, Metadata
from mcap.writer import MCAP0_MAGIC

from pipeline.cameras.camera import CameraInfo
from pipeline.recording import METADATA_NAME, RecordingError, RecordingInfo
from pipeline.recording_chunk import unpacked

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX = struct.Struct("<BQ")
"""In front of every record: its opcode and its length."""


class FrameRef(msgspec.Struct, frozen=True):
    """Where a frame lies: its camera, its exposure in UTC, the chunk in the file, the place in the chunk."""

    camera: str
    exposed_utc_ns: int
    chunk: int
    offset: int


class RecordingIndex:
    """Everything about a recording but its frames.

    `torn`: the file has no end, as a killed recorder or a full disk leaves it.

    Raises:
        RecordingError: the file is no recording; other errors of `mcap` and `msgspec` if it is damaged.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self.torn = True
        self.cameras: dict[str, CameraInfo] = {}
        self.refs: list[FrameRef] = []
        self._names: dict[int, str] = {}
        self._file = file
        info: RecordingInfo | None = None
        bare: int | None = None
        for opcode, start in self._records():
            if opcode == Opcode.METADATA:
                info = _info(Metadata.read(body_at(file, start))) or info
            elif opcode == Opcode.CHUNK:
                self._take_bare(bare)
                bare = start
            elif opcode == Opcode.MESSAGE_INDEX and bare is not None:
                self._take_index(bare, MessageIndex.read(body_at(file, start)))
            elif opcode == Opcode.DATA_END:
                self.torn = False
                break
        self._take_bare(bare)
        if info is None:
            raise RecordingError(f"found no {METADATA_NAME!r}, expected a file that `hlgfa record` wrote.")
        self.info = info
        self.refs.sort(key=lambda ref: ref.exposed_utc_ns)

    def _records(self) -> Iterator[tuple[int, int]]:
        """Opcode and place of every record, up to the first one that is not whole."""
        size = self._file.seek(0, 2)
        self._file.seek(0)
        if self._file.read(len(MCAP0_MAGIC)) != MCAP0_MAGIC:
            raise RecordingError("is not an MCAP file, expected one that `hlgfa record` wrote.")
        start = len(MCAP0_MAGIC)
        while start + PREFIX.size <= size:
            self._file.seek(start)
            opcode, length = PREFIX.unpack(self._file.read(PREFIX.size))
            end = start + PREFIX.size + length
            if end > size:
                return
            yield opcode, start
            start = end

    def _take_index(self, chunk: int, index: MessageIndex) -> None:
        if index.channel_id not in self._names:
            self._take_channels(chunk)
        camera = self._names[index.channel_id]
        self.refs += [FrameRef(camera, time_ns, chunk, offset) for time_ns, offset in index.records]

    def _take_channels(self, chunk: int) -> None:
        for opcode, _, stream, _ in _records_in(self._file, chunk):
            if opcode == Opcode.CHANNEL:
                channel = Channel.read(stream)
                camera = msgspec.json.decode(channel.metadata["camera"], type=CameraInfo)
                self._names[channel.id] = camera.name
                self.cameras[camera.name] = camera

    def _take_bare(self, chunk: int | None) -> None:
        """Take a chunk whose index is missing: the file was torn off between the two."""
        if chunk is None or (self.refs and self.refs[-1].chunk == chunk):
            return
        self._take_channels(chunk)
        for opcode, offset, stream, length in _records_in(self._file, chunk):
            if opcode == Opcode.MESSAGE:
                message = Message.read(stream, length)
                camera = self._names[message.channel_id]
                self.refs.append(FrameRef(camera, message.log_time, chunk, offset))


def body_at(file: IO[bytes], start: int) -> ReadDataStream:
    """The record that starts there, behind its prefix, and nothing after it."""
    file.seek(start)
    _, length = PREFIX.unpack(file.read(PREFIX.size))
    return ReadDataStream(io.BytesIO(file.read(length)))


def _info(metadata: Metadata) -> RecordingInfo | None:
    if metadata.name != METADATA_NAME:
        return None
    return msgspec.convert(metadata.metadata, RecordingInfo)


def _records_in(file: IO[bytes], chunk: int) -> Iterator[tuple[int, int, ReadDataStream, int]]:
    """Opcode, place, body and length of the records of a chunk; the body is the caller's until the next."""
    stream, size = unpacked(Chunk.read(body_at(file, chunk)))
    while stream.count < size:
        offset = stream.count
        opcode, length = PREFIX.unpack(stream.read(PREFIX.size))
        end = stream.count + length
        yield opcode, offset, stream, length
        stream.read(end - stream.count)
