"""The files of a journal: their names, their lines, and what is done about damaged ones.

`<start>-<part>-<epoch>.journal`: every start of a station has the next number, every file of it the next
part, so names in order are records in order, whatever the clock did. A line is

    <CRC-32 of the rest in eight hex digits> <stream> <seq> <header as JSON>

The first line of a file is a `Head`; a station that was stopped in order leaves an `End`. What follows the
last newline was torn by a kill or a loss of power. A writer holds a lock on its file as long as it lives.
"""

from __future__ import annotations

import fcntl
import os
import re
import zlib
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from pipeline.history.ordinals import ordinal_of
from pipeline.messages import ResultHeader

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SUFFIX = ".journal"
HEAD, END = "journal/head", "journal/end"
_NAME = re.compile(r"(\d{6,})-(\d{6,})-(.+)\.journal")


class JournalError(Exception):
    """A result could not be recorded, or a record cannot be read."""


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """First line of a file: what this start had recorded before it; times are UTC.

    `highest` is the highest running number of a trigger whose result is in an earlier file, `missing` are
    the ranges below it without one: triggers that were open, or that the journal failed to take.
    """

    epoch: str
    start: int
    part: int
    line: str
    station: str
    opened_ns: int
    last_seq: dict[str, int]
    highest: int
    missing: list[tuple[int, int]]
    schema: str = "hlgfa.journal/1.0"


class End(msgspec.Struct, frozen=True, kw_only=True):
    """Last line of a start that was stopped in order: how many triggers it has counted."""

    triggers: int
    ended_ns: int


class Line(NamedTuple):
    """One line that is whole; `record` is JSON."""

    stream: str
    seq: int
    record: bytes


class Damage(NamedTuple):
    """A line that is not whole, in the middle of a file."""

    path: Path
    number: int
    text: str


class JournalFile(NamedTuple):
    """One file by its name. They sort in the order in which they were written."""

    start: int
    part: int
    epoch: str
    path: Path


def make_line(stream: str, seq: int, record: bytes) -> bytes:
    """A line of the journal, newline included."""
    rest = b"%s %d %s" % (stream.encode(), seq, record)
    return b"%08x %s\n" % (zlib.crc32(rest), rest)


def parse_line(line: bytes) -> Line:
    """The parts of a line that ends with its newline.

    Raises:
        JournalError: it is damaged.
    """
    rest = line[9:-1]
    try:
        whole = int(line[:8], 16) == zlib.crc32(rest)
        stream, seq, record = rest.split(b" ", 2)
        found = Line(stream.decode(), int(seq), record)
    except ValueError as error:
        raise JournalError(f"is damaged: {error}") from error
    if not whole:
        raise JournalError("is damaged: its checksum does not match")
    if not 0 < found.seq < 2**63:
        raise JournalError(f"is damaged: found the number {found.seq}")
    return found


def journal_files(directory: Path) -> list[JournalFile]:
    """All journal files of a directory in the order in which they were written; none if it is missing.

    In place of a directory one file is allowed.
    """
    found = []
    for path in [directory] if directory.is_file() else directory.glob(f"*{SUFFIX}"):
        name = _NAME.fullmatch(path.name)
        if name is not None:
            found.append(JournalFile(int(name[1]), int(name[2]), name[3], path))
    return sorted(found)


def file_name(start: int, part: int, epoch: str) -> str:
    """Name of a file."""
    return f"{start:06}-{part:06}-{epoch}{SUFFIX}"


def lines_of(path: Path) -> Iterator[Line | Damage]:
    """Every line of a file, damaged ones among them; what follows the last newline is left out."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                return
            try:
                yield parse_line(line)
            except JournalError as error:
                yield Damage(path, number, str(error))


def head_of(path: Path) -> Head | None:
    """The head of a file; None if it has none that can be read."""
    try:
        with path.open("rb") as file:
            line = parse_line(file.readline())
        return msgspec.json.decode(line.record, type=Head) if line.stream == HEAD else None
    except (OSError, JournalError, ValueError, RecursionError):
        return None


def read_journal(path: Path, *, epoch: str | None = None) -> Iterator[ResultHeader]:
    """Results in order: of a file, or of all files of a directory, or of one start's.

    Raises:
        JournalError: a line is damaged; a torn last one is not, it is left out.
    """
    for file in journal_files(path):
        for line in lines_of(file.path) if epoch in {None, file.epoch} else ():
            if isinstance(line, Damage):
                raise JournalError(f"{line.path}: line {line.number} {line.text}")
            if line.stream.startswith("result/"):
                yield decode_result(line, file.path)


def decode_result(line: Line, path: Path) -> ResultHeader:
    """The result that a line holds.

    Raises:
        JournalError: it is whole, but not a result of this schema.
    """
    try:
        result = msgspec.json.decode(line.record, type=ResultHeader)
        ordinal_of(result.result_id)
    except (ValueError, RecursionError) as error:
        raise JournalError(f"{path}: {line.stream} {line.seq} cannot be read: {error}") from error
    return result


def lock(fd: int) -> bool:
    """Take the writer's lock of a file; False if a station holds it. It goes with the descriptor."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def unlock(fd: int) -> None:
    """Say that a file is not written any more."""
    fcntl.flock(fd, fcntl.LOCK_UN)


def being_written(path: Path) -> bool:
    """Whether a station that lives writes this file."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return not lock(fd)
    finally:
        os.close(fd)
