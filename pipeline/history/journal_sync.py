"""Flushes a journal to the disk beside the line, which never waits for it."""

from __future__ import annotations

import os
import threading
from collections import deque
from typing import TYPE_CHECKING

from engines.records import sync_directory

if TYPE_CHECKING:
    from pipeline.history.journal import Journal

SYNC_PERIOD_S = 0.2


class JournalSync:
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
                    sync_directory(known.parent)
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
