"""Removes files of a journal that need not be kept any more: what is there, what `retention` says, done."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from pipeline.history.cursors import Position
from pipeline.history.journal_files import being_written
from pipeline.history.retention import FullFile, Limits, removals

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.history.cursors import Cursors
    from pipeline.history.journal_files import JournalFile
    from pipeline.history.journal_index import JournalIndex
    from pipeline.record_config import JournalConfig


class JournalRetention:
    """Of the journal in `directory`, whose consumers have `cursors`."""

    def __init__(
        self, directory: Path, index: JournalIndex, cursors: Cursors, settings: JournalConfig
    ) -> None:
        self._directory = directory
        self._index = index
        self._cursors = cursors
        self._settings = settings
        self._ends: dict[Path, dict[str, int]] = {}

    def prune(self) -> list[str]:
        """Remove what may go; returns what a person must know: which consumers lost messages, and why."""
        self._index.refresh()
        settings, disk = self._settings, os.statvfs(self._directory)
        limits = Limits(
            oldest_s=time.time() - settings.keep_days * 86_400,
            keep_bytes=round(settings.keep_mib * 2**20),
            missing_bytes=round(settings.min_free_mib * 2**20) - disk.f_bavail * disk.f_frsize,
            consumer_bytes={name: self._cursors.limit_bytes(name) for name in self._cursors.names},
        )
        lost: dict[str, int] = {}
        for removal in removals(self._full_files(), limits):
            if being_written(removal.path):
                break  # by another station
            removal.path.unlink()
            for name in removal.lost_by:
                lost[name] = lost.get(name, 0) + 1
        self._index.refresh()
        why = "the disk is short" if limits.missing_bytes > 0 else "its limit_mib is exceeded"
        return [
            f"consumer {name}: {files} journal file(s) that it had not acknowledged were removed: {why}"
            for name, files in lost.items()
        ]

    def _full_files(self) -> list[FullFile]:
        full = []
        for place, file in enumerate(self._index.files[:-1]):
            following = self._index.files[place + 1]
            ends = self._ends_of(file, following)
            awaited = frozenset(name for name in self._cursors.names if self._awaits(name, file, ends))
            stat = file.path.stat()
            full.append(FullFile(file.path, stat.st_size, stat.st_mtime, awaited))
        return full

    def _ends_of(self, file: JournalFile, following: JournalFile) -> dict[str, int]:
        """The last number of every stream up to the end of a file that is full."""
        if following.epoch == file.epoch:
            return self._index.head(following).last_seq
        if file.path not in self._ends:
            self._ends[file.path] = self._index.streams(file.epoch)
        return self._ends[file.path]

    def _awaits(self, name: str, file: JournalFile, ends: dict[str, int]) -> bool:
        before = self._index.head(file).last_seq
        return any(
            last > before.get(stream, 0)
            and self._cursors.wants(name, stream)
            and Position(file.start, last) > self._cursors.position(name, stream)
            for stream, last in ends.items()
        )
