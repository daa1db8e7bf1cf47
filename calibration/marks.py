"""What people say of rejected parts: marks of the review page, for `hlgfa calibrate --review`.

A file of marks has one JSON object a line and only grows: who said what and when stays on record. The last
mark of a result counts; `none` takes the one before it back.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec import Meta

from calibration.record import CalibrationError

if TYPE_CHECKING:
    from pathlib import Path

FILE_NAME = "marks.jsonl"
SCHEMA = "hlgfa.mark/1.0"
MAX_LINE_BYTES = 4096
MarkKind = Literal["really_bad", "false_reject", "none"]


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """What a person says of one result; score and threshold are in raw units, as they were judged by.

    `entry` is the archive entry's path below `archive.directory`, without an ending; `marked_ns` is UTC.
    """

    schema: str = SCHEMA
    result_id: Annotated[str, Meta(min_length=1, max_length=128)]
    mark: MarkKind
    who: Annotated[str, Meta(min_length=1, max_length=64)]
    marked_ns: Annotated[str, Meta(pattern=r"^\d{1,20}$")]
    camera: str
    entry: str
    score: float | None
    threshold: float | None
    model_sha256: str | None


def append_mark(path: Path, mark: Mark) -> None:
    """Add a mark at the end, and have it on the disk before this returns.

    What a loss of power has left without an end is cut off first, or the two would be one line.

    Raises:
        OSError: the disk does not take it.
    """
    data = msgspec.json.encode(mark) + b"\n"
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        size = os.fstat(descriptor).st_size
        tail = os.pread(descriptor, MAX_LINE_BYTES, max(0, size - MAX_LINE_BYTES))
        os.ftruncate(descriptor, size - (len(tail) - tail.rfind(b"\n") - 1))
        os.write(descriptor, data)
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)


def read_marks(path: Path) -> dict[str, Mark]:
    """The mark of every result that has one, by `result_id`; empty if there is no file.

    Raises:
        CalibrationError: the file cannot be read, or a line is no mark; a last one without an end, left by a
            loss of power, is passed over.
    """
    if not path.exists():
        return {}
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise CalibrationError(f"{path}: cannot be read ({error.strerror}).") from error
    marks: dict[str, Mark] = {}
    for number, line in enumerate(lines[:-1], start=1):
        try:
            mark = msgspec.json.decode(line, type=Mark)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise CalibrationError(
                f"{path}: line {number} is no mark: {error}. Correct or remove it."
            ) from error
        marks.pop(mark.result_id, None)
        if mark.mark != "none":
            marks[mark.result_id] = mark
    return marks
