"""Cuts off what a kill or a loss of power has torn at the end of a journal file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from pipeline.history.journal_files import JournalError, journal_files, lock

if TYPE_CHECKING:
    from pathlib import Path

_TAIL_BYTES = 1024 * 1024


class Repair(NamedTuple):
    """What was cut off the end of a file."""

    path: Path
    cut_bytes: int


def repair(directory: Path) -> list[Repair]:
    """Cut off what a kill or a loss of power has torn; files that are being written are left alone.

    Raises:
        JournalError: a file cannot be opened or cut.
    """
    repairs = []
    for file in journal_files(directory):
        try:
            cut = _repair_file(file.path)
        except OSError as error:
            raise JournalError(f"{file.path}: cannot be repaired ({error.strerror}).") from error
        if cut:
            repairs.append(Repair(file.path, cut))
    return repairs


def repaired(found: Repair) -> str:
    """A repair in words."""
    return (
        f"{found.path}: the last {found.cut_bytes} bytes were half a record, as a kill or a loss of power "
        "leaves it, and were cut off"
    )


def _repair_file(path: Path) -> int:
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        if not lock(fd):
            return 0
        size = os.fstat(fd).st_size
        whole = _whole_bytes(fd, size)
        if whole == 0:
            path.unlink()
        elif whole < size:
            os.ftruncate(fd, whole)
            os.fsync(fd)
        return size - whole
    finally:
        os.close(fd)


def _whole_bytes(fd: int, size: int) -> int:
    """Size up to and with the last newline."""
    end = size
    while end > 0:
        begin = max(0, end - _TAIL_BYTES)
        found = os.pread(fd, end - begin, begin).rfind(b"\n")
        if found >= 0:
            return begin + found + 1
        end = begin
    return 0
