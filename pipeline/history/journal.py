"""The durable record: a line for every result, part, amendment and event, appended before it is published.

`append` hands the line to the kernel, so it survives the death of this process; a thread flushes to the
disk every `SYNC_PERIOD_S`, which is the window that a loss of power may cost. Files: `journal_files`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
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
    unlock,
)
from pipeline.history.journal_sync import SYNC_PERIOD_S, JournalSync
from pipeline.history.ordinals import Ordinals, ordinal_of
from pipeline.messages import ResultHeader
from pipeline.record_config import JournalConfig
from pipeline.wire import encode

if TYPE_CHECKING:
    from pathlib import Path

    from typing_extensions import Self

    from pipeline.messages import LiveHeader

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
        self._sync = JournalSync(self)

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
