"""Where the messages of one journal file are; it is read through once, and on as it is written."""

from __future__ import annotations

import os
from array import array
from bisect import bisect_left
from typing import TYPE_CHECKING

from pipeline.history.journal_files import JournalError, parse_line

if TYPE_CHECKING:
    from pathlib import Path

CHUNK_BYTES = 1024 * 1024


class FileIndex:
    """Where the messages of one file are; `complete` once nothing can be written after what was read."""

    def __init__(self, path: Path) -> None:
        self.complete = False
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._scanned = 0
        self._seqs: dict[str, array[int]] = {}
        self._offsets: dict[str, array[int]] = {}

    def refresh(self) -> None:
        """Take in what was written since the last time; damaged lines are left out."""
        while True:
            chunk = os.pread(self._fd, CHUNK_BYTES, self._scanned)
            whole = chunk.rfind(b"\n") + 1
            if whole == 0:
                return
            offset = self._scanned
            for line in chunk[:whole].splitlines(keepends=True):
                self._note(line, offset)
                offset += len(line)
            self._scanned = offset

    def _note(self, data: bytes, offset: int) -> None:
        try:
            line = parse_line(data)
        except JournalError:
            return
        self._seqs.setdefault(line.stream, array("Q")).append(line.seq)
        self._offsets.setdefault(line.stream, array("Q")).append(offset)

    def last_seq(self, stream: str) -> int | None:
        """The highest number of a stream; None if there is none."""
        seqs = self._seqs.get(stream)
        return seqs[-1] if seqs else None

    def streams(self) -> list[str]:
        """Streams of which there is a message."""
        return list(self._seqs)

    def following(self, stream: str, seq: int) -> int | None:
        """The first number from `seq` on that is there."""
        seqs = self._seqs.get(stream, array("Q"))
        place = bisect_left(seqs, seq)
        return seqs[place] if place < len(seqs) else None

    def record(self, stream: str, seq: int) -> bytes | None:
        """A message's header as JSON; None if it is not there."""
        seqs = self._seqs.get(stream, array("Q"))
        place = bisect_left(seqs, seq)
        if place == len(seqs) or seqs[place] != seq:
            return None
        offset = self._offsets[stream][place]
        data = b""
        while not data.endswith(b"\n"):
            more = os.pread(self._fd, 4096, offset + len(data))
            end = more.find(b"\n") + 1
            data += more[:end] if end else more
            if not more:
                return None
        try:
            return parse_line(data).record
        except JournalError:
            return None

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)
