"""The verdicts of a replay: what is kept of each frame, and where two replays differ. Pure but for files."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from pipeline.config import ConfigError
from pipeline.messages import Disposition, Region

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pipeline.messages import ResultHeader

SCHEMA = "hlgfa.verdicts/1.0"


class FrameVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """One frame's result, exact: a score is the shortest decimal that gives the same bits again.

    `frame_id` counts a camera's frames from 0; `heatmap_sha256` is of the quantised map before compression.
    """

    camera: str | None
    frame_id: int | None
    trigger_id: int
    part_id: str | None
    source: str | None
    disposition: Disposition
    reason_code: int
    score: float | None
    regions: list[Region]
    heatmap_sha256: str | None


class Verdicts(msgspec.Struct, frozen=True, kw_only=True):
    """A whole replay, and what it was made with."""

    schema: str
    recording: str
    started_utc: str
    model_sha256: str
    engine: str
    precision: str
    threshold: float | None
    frames: list[FrameVerdict]


def frame_verdict(result: ResultHeader, heatmap: bytes | None) -> FrameVerdict:
    """What is kept of a result; `heatmap` is its quantised map, None if there is none."""
    frame = result.frame
    return FrameVerdict(
        camera=result.camera,
        frame_id=frame.id if frame else None,
        trigger_id=result.trigger_id,
        part_id=result.part_id,
        source=frame.source if frame else None,
        disposition=result.disposition,
        reason_code=result.reason_code,
        score=result.score,
        regions=result.regions,
        heatmap_sha256=None if heatmap is None else hashlib.sha256(heatmap).hexdigest(),
    )


def differences(expected: Verdicts, found: Verdicts) -> Iterator[str]:
    """A line for everything that is not the same, the model and the engine first, then frame by frame."""
    for field in ("started_utc", "model_sha256", "engine", "precision", "threshold"):
        yield from _difference("", expected, found, field)
    if len(expected.frames) != len(found.frames):
        yield f"found {len(found.frames)} frames, expected {len(expected.frames)}"
    for one, other in zip(expected.frames, found.frames, strict=False):
        where = f"{one.camera} frame {one.frame_id}{f' ({one.source})' if one.source else ''}: "
        for field in FrameVerdict.__struct_fields__:
            yield from _difference(where, one, other, field)


def _difference(where: str, expected: msgspec.Struct, found: msgspec.Struct, field: str) -> Iterator[str]:
    one, other = getattr(expected, field), getattr(found, field)
    if one != other:
        yield f"{where}{field}: found {_short(other)}, expected {_short(one)}"


def _short(value: object) -> str:
    return msgspec.json.encode(value).decode() if isinstance(value, list) else repr(value)


def save_verdicts(verdicts: Verdicts, path: Path) -> None:
    """Write the file, as JSON for people and programs.

    Raises:
        ConfigError: it cannot be written.
    """
    try:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(verdicts), indent=1) + b"\n")
    except OSError as error:
        raise ConfigError(f"--save: {path} cannot be written ({error.strerror}).") from error


def load_verdicts(path: Path) -> Verdicts:
    """Read the file of an earlier replay.

    Raises:
        ConfigError: it is missing, or is no such file.
    """
    try:
        verdicts = msgspec.json.decode(path.read_bytes(), type=Verdicts)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"--expect: {path}: {error}. Name a file that `hlgfa replay --save` wrote."
        ) from error
    if verdicts.schema != SCHEMA:
        raise ConfigError(f"--expect: {path}: found schema {verdicts.schema!r}, expected {SCHEMA!r}.")
    return verdicts
