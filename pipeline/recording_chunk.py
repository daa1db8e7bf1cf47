"""Unpacks a recording's chunks, never to more than they say they hold."""

from __future__ import annotations

import io
import zlib
from typing import TYPE_CHECKING

import lz4.frame
import zstandard
from mcap.data_stream import ReadDataStream

from pipeline.recording import RecordingError

if TYPE_CHECKING:
    from mcap.records import Chunk

MAX_CHUNK_BYTES = 2**30
"""A chunk of ours holds one frame."""


def unpacked(chunk: Chunk) -> tuple[ReadDataStream, int]:
    """The records of a chunk, and how many bytes they are; the checksum is checked.

    Raises:
        RecordingError: it holds another number of bytes than it says, or too many, or its checksum is wrong.
    """
    size = chunk.uncompressed_size
    if size > MAX_CHUNK_BYTES:
        raise RecordingError(f"found a chunk of {size} bytes, expected at most {MAX_CHUNK_BYTES}.")
    data = _decompressed(chunk.data, chunk.compression, size)
    if len(data) != size:
        raise RecordingError(f"found a chunk of {len(data)} bytes, expected {size}.")
    if chunk.uncompressed_crc and zlib.crc32(data) != chunk.uncompressed_crc:
        raise RecordingError(
            f"found a chunk with checksum {zlib.crc32(data):#010x}, expected {chunk.uncompressed_crc:#010x}."
        )
    return ReadDataStream(io.BytesIO(data)), size


def _decompressed(data: bytes, compression: str, size: int) -> bytes:
    if compression == "zstd":
        # A frame that states a size of its own gets all of it at once, whatever the limit says.
        stated = zstandard.frame_content_size(data)
        if stated not in (-1, size):
            raise RecordingError(f"found a zstd frame of {stated} bytes, expected {size}.")
        return zstandard.ZstdDecompressor().decompress(data, max_output_size=size)
    if compression == "lz4":
        return bytes(lz4.frame.LZ4FrameDecompressor().decompress(data, max_length=size + 1))
    return data
