"""The durable record: a line for every result, part, amendment and event, appended before it is published.

`append` hands the line to the kernel, so it survives the death of this process; a thread flushes to the
disk every `SYNC_PERIOD_S`, which is the window that a loss of power may cost. Files: `journal_files`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

import msgspec

from pipeline.config import ConfigError
from pipeline.history.journal_files import (
    END,
    HEAD,
    End,
    Head,
    JournalError,
    file_name,
    journal_files,
    lock,
    make_line,
    read_journal,
    unlock,
)
from pipeline.history.ordinals import Ordinals, ordinal_of
from pipeline.messages import ResultHeader
from pipeline.record_config import JournalConfig
from pipeline.wire import encode

if TYPE_CHECKING:
    from pathlib import Path

    from typing_extensions import Self

    from pipeline.messages import LiveHeader

__all__ = ["SYNC_PERIOD_S", "Journal", "JournalError", "read_journal"]

SYNC_PERIOD_S = 0.2
FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC


class Journal:
    """Append-only journal of one start of the station; `path` is the file that is being written."""

    def __init__(
        self,
        directory: Path,
        *,
        epoch: str,
        line: str = "",
        station: str = "",
        settings: JournalConfig = JournalConfig(),  # noqa: B008 - frozen
    ) -> None:
        """Create the start's first file in `directory`, which is made if it is missing.

        Raises:
            ConfigError: the directory cannot be written.
        """
        self.directory, self.epoch = directory, epoch
        self._line, self._station = line, station
        self._file_bytes = round(settings.file_mib * 2**20)
        self._file_ns = round(settings.file_h * 3600e9)
        self.appended = 0
        self.last_seq: dict[str, int] = {}
        self._ordinals = Ordinals()
        self._fd = -1
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._start = max((file.start for file in journal_files(directory)), default=0) + 1
            self._part = 0
            self._open_next()
        except OSError as error:
            text = f"station.journal_dir: {error.filename or directory} cannot be written ({error.strerror})."
            raise ConfigError(text) from error
        self._sync = _Sync(self)

    def append(self, header: LiveHeader) -> None:
        """Record one message.

        Raises:
            JournalError: the disk does not take it; the file is as it was before.
        """
        self._make_room()
        self._write(make_line(header.stream, header.seq, encode(header)))
        self.last_seq[header.stream] = header.seq
        if isinstance(header, ResultHeader):
            self._ordinals.note(ordinal_of(header.result_id))
        self.appended += 1

    def end(self, *, triggers: int) -> None:
        """Say that this start was stopped in order, and how many triggers it has counted."""
        with contextlib.suppress(JournalError):  # then it reads as if the station had been killed
            end = End(triggers=triggers, ended_ns=time.time_ns())
            self._write(make_line(END, self._part, msgspec.json.encode(end)))
            self.appended += 1

    def close(self) -> None:
        """Flush to the disk and close; safe to call again."""
        self._sync.close()

    def _make_room(self) -> None:
        """Go on in a new file if this one is full, or was left damaged."""
        error = self._sync.take_error()
        if error is not None:
            self._damaged = True
        full = self._size >= self._file_bytes or time.monotonic_ns() - self._opened_ns >= self._file_ns
        if full or self._damaged:
            old = self._fd
            try:
                self._open_next()
            except OSError as refused:
                if self._damaged:
                    raise JournalError(f"{self.directory}: {refused.strerror}") from refused
            else:
                unlock(old)
                self._sync.retire(old)
        if error is not None:
            raise JournalError(f"{self.path}: the last {SYNC_PERIOD_S} s may not be on the disk: {error}")

    def _open_next(self) -> None:
        """Begin the next file; raises `OSError`, and then the current one stays."""
        path = self.directory / file_name(self._start, self._part + 1, self.epoch)
        head = Head(
            epoch=self.epoch,
            start=self._start,
            part=self._part + 1,
            line=self._line,
            station=self._station,
            opened_ns=time.time_ns(),
            last_seq=self.last_seq,
            highest=self._ordinals.highest,
            missing=self._ordinals.missing,
        )
        line = make_line(HEAD, self._part + 1, msgspec.json.encode(head))
        fd = os.open(path, FLAGS, 0o644)
        try:
            lock(fd)
            written = os.write(fd, line)
            if written != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        except OSError:
            os.close(fd)
            path.unlink(missing_ok=True)
            raise
        self.path, self._fd, self._size, self._damaged = path, fd, written, False
        self._part += 1
        self._opened_ns = time.monotonic_ns()

    def _write(self, line: bytes) -> None:
        try:
            written = os.write(self._fd, line)
        except OSError as error:
            raise JournalError(f"{self.path}: {error.strerror}") from error
        if written != len(line):
            try:
                os.ftruncate(self._fd, self._size)
            except OSError:
                self._damaged = True  # half a line: nothing may follow it in this file
            raise JournalError(f"{self.path}: {written} of {len(line)} bytes written; the disk is full")
        self._size += written

    @property
    def fd(self) -> int:
        """Descriptor of the file that is being written."""
        return self._fd

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class _Sync:
    """The thread that flushes, so that the line never waits for the disk. It alone closes descriptors."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._retired: deque[int] = deque()
        self._error: str | None = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="journal-sync", daemon=True)
        self._thread.start()

    def retire(self, fd: int) -> None:
        """Flush and close a descriptor that is not written any more."""
        self._retired.append(fd)

    def take_error(self) -> str | None:
        """What the disk has answered since this was last asked; None if nothing was wrong."""
        error, self._error = self._error, None
        return error

    def close(self) -> None:
        """Flush everything, close the file, end; safe to call again."""
        if not self._closing.is_set():
            self._closing.set()
            self._thread.join()
            os.close(self._journal.fd)

    def _run(self) -> None:
        synced, known = 0, None
        while True:
            last = self._closing.wait(SYNC_PERIOD_S)
            try:
                while self._retired:
                    self._finish(self._retired.popleft())
                if self._journal.path != known:
                    known = self._journal.path
                    _sync_directory(known.parent)
                if self._journal.appended != synced:
                    synced = self._journal.appended
                    os.fdatasync(self._journal.fd)
            except OSError as error:
                self._error = error.strerror
            if last:
                return

    @staticmethod
    def _finish(fd: int) -> None:
        try:
            os.fdatasync(fd)
        finally:
            os.close(fd)


def _sync_directory(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
