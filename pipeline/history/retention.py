"""Which full files of the journal may go. Pure: no files, no clock.

Rules:
1. Files go oldest first, never the one that is being written.
2. By age and total size a file goes only if no consumer still waits for a message in it.
3. A consumer holds no more than its limit: beyond that its oldest messages go, and that is said.
4. If the disk is short, the oldest go until it is not, whoever waits for them, and that is said.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


class FullFile(NamedTuple):
    """A file that is not written any more, and the consumers that still wait for something in it."""

    path: Path
    size_bytes: int
    written_s: float
    awaited_by: frozenset[str]


class Limits(NamedTuple):
    """Of the journal as a whole, and of each consumer's backlog; `missing_bytes`: what the disk lacks."""

    oldest_s: float
    keep_bytes: int
    missing_bytes: int
    consumer_bytes: Mapping[str, int]


class Removal(NamedTuple):
    """A file that goes, and the consumers that lose messages by it."""

    path: Path
    lost_by: frozenset[str]


def removals(files: Sequence[FullFile], limits: Limits) -> list[Removal]:
    """Files to be removed, oldest first.

    Args:
        files: all full files in the order in which they were written.
        limits: what may be kept.
    """
    left = sum(file.size_bytes for file in files)
    backlog = {
        name: sum(file.size_bytes for file in files if name in file.awaited_by)
        for name in limits.consumer_bytes
    }
    missing, found = limits.missing_bytes, []
    for file in files:
        held = any(backlog[name] <= limits.consumer_bytes[name] for name in file.awaited_by)
        due = file.written_s < limits.oldest_s or left > limits.keep_bytes
        if missing <= 0 and (not due or held):
            break
        found.append(Removal(file.path, file.awaited_by))
        missing -= file.size_bytes
        left -= file.size_bytes
        for name in file.awaited_by:
            backlog[name] -= file.size_bytes
    return found
