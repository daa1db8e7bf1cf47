"""Finds messages in a journal by start, stream and number, with file handles of its own.

Heads of files say which file holds a number; a file is read through once to learn where its lines are, the
one that is being written as far as it goes.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, NamedTuple

from pipeline.history.file_index import FileIndex
from pipeline.history.journal_files import Head, head_of, journal_files

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.history.journal_files import JournalFile

KEPT_FILES = 8


class Page(NamedTuple):
    """Messages without a gap from the first one on; then `gone` do not exist; ask again from `next`."""

    records: list[bytes]
    gone: tuple[int, int] | None
    next: int | None


class JournalIndex:
    """All files of a journal, seen from the reading side."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._heads: dict[Path, Head] = {}
        self._open: dict[Path, FileIndex] = {}
        self._of: dict[str, list[JournalFile]] = {}
        self.files: list[JournalFile] = []

    def refresh(self) -> None:
        """Look which files there are; one whose head cannot be read is left out."""
        found = journal_files(self._directory)
        present = {file.path for file in found}
        for path in self._heads.keys() - present:
            self._forget(path)
        for file in found:
            head = self._heads.get(file.path) or head_of(file.path)
            if head is not None:
                self._heads[file.path] = head
        self.files = [file for file in found if file.path in self._heads]
        self._of = {}
        for file in self.files:
            self._of.setdefault(file.epoch, []).append(file)

    def head(self, file: JournalFile) -> Head:
        """Head of one of `files`."""
        return self._heads[file.path]

    def epochs(self) -> list[str]:
        """Starts of which there is a file, oldest first."""
        return list(self._of)

    def of(self, epoch: str) -> list[JournalFile]:
        """Files of one start, in order."""
        return self._of.get(epoch, [])

    def streams(self, epoch: str) -> dict[str, int]:
        """The last recorded number of every stream of a start."""
        files = self.of(epoch)
        if not files:
            return {}
        last = self.index(files[-1])
        last.refresh()
        found = dict(self.head(files[-1]).last_seq)
        found |= {stream: last.last_seq(stream) or 0 for stream in last.streams()}
        return {stream: seq for stream, seq in found.items() if not stream.startswith("journal/")}

    def floor(self, epoch: str) -> dict[str, int]:
        """The first number that is still there of every stream that has lost some."""
        files = self.of(epoch)
        return {stream: seq + 1 for stream, seq in self.head(files[0]).last_seq.items()} if files else {}

    def page(  # noqa: PLR0917 - a range of a stream, and its limits
        self, epoch: str, stream: str, first: int, last: int, published: int, max_items: int, max_bytes: int
    ) -> Page:
        """Messages `first` to `last` of a stream, as many as the limits allow.

        Args:
            epoch: the start; not known is as if nothing was recorded.
            stream: name of the stream.
            first: of the numbers that are wanted.
            last: of them; numbers that were never given are no gap.
            published: the last number that this station gave, 0 for an earlier start: what is not in the
                journal up to there is gone and not to come.
            max_items: limit of the messages.
            max_bytes: limit of their size; the first one comes in any case.
        """
        newest = max(self.streams(epoch).get(stream, 0), published)
        last = min(last, newest)
        records: list[bytes] = []
        size, seq = 0, first
        while seq <= last and len(records) < max_items:
            record = self._record(epoch, stream, seq)
            if record is None:
                gone = (seq, self._last_gone(epoch, stream, seq, last))
                return Page(records, gone, gone[1] + 1 if gone[1] < last else None)
            if records and size + len(record) > max_bytes:
                break
            records.append(record)
            size += len(record)
            seq += 1
        return Page(records, None, seq if seq <= last else None)

    def _record(self, epoch: str, stream: str, seq: int) -> bytes | None:
        file = self._file_of(epoch, stream, seq)
        return None if file is None else self.index(file).record(stream, seq)

    def _file_of(self, epoch: str, stream: str, seq: int) -> JournalFile | None:
        """The last file that began before the number was given."""
        files = self.of(epoch)
        place = bisect_left(files, seq, key=lambda file: self.head(file).last_seq.get(stream, 0))
        return files[place - 1] if place > 0 else None

    def _last_gone(self, epoch: str, stream: str, seq: int, last: int) -> int:
        """The last number of the gap that begins at `seq`."""
        file = self._file_of(epoch, stream, seq)
        for later in self.of(epoch):
            if file is not None and later < file:
                continue
            following = self.index(later).following(stream, seq)
            if following is not None:
                return min(following - 1, last)
        return last

    def index(self, file: JournalFile) -> FileIndex:
        """Where the messages of a file are.

        A file with a later one of its start is written no more: what was read before that is completed once.
        """
        path, ended = file.path, file != self.of(file.epoch)[-1]
        index = self._open.pop(path, None)
        if index is None or (ended and not index.complete):
            index = index or FileIndex(path)
            index.refresh()
            index.complete = ended
        self._open[path] = index  # the one used last is the last one to be closed
        while len(self._open) > KEPT_FILES:
            self._forget_index(next(iter(self._open)))
        return index

    def _forget(self, path: Path) -> None:
        del self._heads[path]
        self._forget_index(path)

    def _forget_index(self, path: Path) -> None:
        index = self._open.pop(path, None)
        if index is not None:
            index.close()

    def close(self) -> None:
        """Close all files; safe to call again."""
        for path in list(self._open):
            self._forget_index(path)
