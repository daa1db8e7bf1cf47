"""Recordings: frames with their whole headers in an MCAP file (docs/recordings.md).

What is in the file, and how one is created and opened. The `mcap` package is imported only then: a station
that records nothing does not need it.
"""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import TYPE_CHECKING, Literal

import msgspec

from pipeline.cameras.camera import CameraInfo
from pipeline.frame import FrameHeader

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

    from pipeline.config import Config
    from pipeline.recording_reader import Recording
    from pipeline.recording_writer import RecordingWriter

FORMAT = "hlgfa.recording/1.0"
METADATA_NAME = "hlgfa.recording"
SCHEMA_NAME = "hlgfa.RecordedFrame"
MESSAGE_ENCODING = "msgpack"
Compression = Literal["zstd", "lz4", "none"]
_VERSIONS_OF = ("hlgfa-line", "msgspec", "numpy")


class RecordingError(Exception):
    """A recording cannot be written or read; the message names the file, what was found and what to do."""


class RecordedFrame(msgspec.Struct, frozen=True, kw_only=True):
    """One message, MessagePack: the header as the camera gave it, and its pixels in row order."""

    header: FrameHeader
    pixels: memoryview


class RecordingInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Where a recording comes from; a metadata record at the front of the file, all values text.

    `config` holds the sections `station`, `cameras` and `engine` as JSON; addresses and keys stay out.
    `versions` is a JSON object.
    """

    format: str
    line: str
    station: str
    started_utc: str
    config: str
    versions: str


def describe_recording(config: Config, started: datetime) -> RecordingInfo:
    """What a recording says of the station that it is made on; `started` is UTC."""
    sections = {"station": config.station, "cameras": config.cameras, "engine": config.engine}
    versions = {"python": sys.version.split()[0]} | {name: version(name) for name in _VERSIONS_OF}
    return RecordingInfo(
        format=FORMAT,
        line=config.station.line,
        station=config.station.name,
        started_utc=started.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        config=msgspec.json.encode(sections).decode(),
        versions=msgspec.json.encode(versions).decode(),
    )


def topic_of(camera: str) -> str:
    """Topic of a camera's channel."""
    return f"/{camera}/frames"


def create_recording(
    path: Path,
    info: RecordingInfo,
    cameras: Sequence[CameraInfo],
    *,
    compression: Compression = "zstd",
    force: bool = False,
) -> RecordingWriter:
    """Create a recording with a channel for every camera; an existing file is replaced only by `force`.

    Raises:
        RecordingError: the file exists or cannot be written, or the `mcap` package is missing.
    """
    try:
        from pipeline.recording_writer import RecordingWriter
    except ImportError as error:
        raise _not_installed(error) from error
    return RecordingWriter(path, info, cameras, compression=compression, force=force)


def open_recording(path: Path) -> Recording:
    """Open a recording; one that was torn off is read up to its last whole chunk.

    Raises:
        RecordingError: it is missing, is no recording, or the `mcap` package is missing.
    """
    try:
        from pipeline.recording_reader import Recording
    except ImportError as error:
        raise _not_installed(error) from error
    return Recording(path)


def _not_installed(error: ImportError) -> RecordingError:
    return RecordingError(
        f"recordings: found no usable mcap package ({error}). Run: pip install 'hlgfa-line[recording]'"
    )
