"""The durable record: one line per trigger, appended before the result is published.

A line is the CRC-32 of the JSON in eight hex digits, a space, the JSON of the result's header, a newline.
`append` hands the line to the kernel, so it survives the death of this process; a thread flushes to the
disk every `SYNC_PERIOD_S`, which is the window that a loss of power may cost.
"""

from __future__ import annotations

import os
import threading
import zlib
from typing import TYPE_CHECKING

import msgspec

from pipeline.config import ConfigError
from pipeline.messages import ResultHeader

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from typing_extensions import Self

SYNC_PERIOD_S = 0.2
SUFFIX = ".journal"


class JournalError(Exception):
    """A result could not be recorded, or a record cannot be read."""


class Journal:
    """Append-only journal of one start of the station."""

    def __init__(self, directory: Path, *, epoch: str) -> None:
        """Create the file `<epoch>.journal` in `directory`, which is made if it is missing.

        Raises:
            ConfigError: the directory cannot be written.
        """
        self.path = directory / f"{epoch}{SUFFIX}"
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC)
        except OSError as error:
            text = f"station.journal_dir: {self.path} cannot be written ({error.strerror})."
            raise ConfigError(text) from error
        self.appended = 0
        self._size = 0
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._sync_loop, name="journal-sync", daemon=True)
        self._thread.start()

    def append(self, record: bytes) -> None:
        """Record one result, its header as JSON without a newline.

        Raises:
            JournalError: the disk does not take it; the file is as it was before.
        """
        line = b"%08x %s\n" % (zlib.crc32(record), record)
        try:
            written = os.write(self._fd, line)
            if written != len(line):
                os.ftruncate(self._fd, self._size)
                raise JournalError(f"{self.path}: {written} of {len(line)} bytes written; the disk is full")
        except OSError as error:
            raise JournalError(f"{self.path}: {error.strerror}") from error
        self._size += written
        self.appended += 1

    def close(self) -> None:
        """Flush to the disk and close; safe to call again."""
        if not self._closing.is_set():
            self._closing.set()
            self._thread.join()
            os.close(self._fd)

    def _sync_loop(self) -> None:
        synced = 0
        while True:
            last = self._closing.wait(SYNC_PERIOD_S)
            if self.appended != synced:
                synced = self.appended
                os.fdatasync(self._fd)
            if last:
                return

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def read_journal(path: Path) -> Iterator[ResultHeader]:
    """Records of a journal in order; a torn last line, as a power loss leaves it, is left out.

    Raises:
        JournalError: a line that is not the last one is damaged.
    """
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                return
            record = line[9:-1]
            try:
                if int(line[:8], 16) != zlib.crc32(record):
                    raise JournalError(f"{path}: line {number} is damaged: its checksum does not match")
                yield msgspec.json.decode(record, type=ResultHeader)
            except (ValueError, msgspec.DecodeError, RecursionError) as error:
                raise JournalError(f"{path}: line {number} is damaged: {error}") from error
