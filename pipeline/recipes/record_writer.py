"""Puts the active record on the disk on a thread of its own: a disk may take seconds, statuses go on."""

from __future__ import annotations

import os
from threading import Thread
from typing import TYPE_CHECKING

from pipeline.recipes.active_record import save_active
from pipeline.recipes.recipe import RecipeError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pipeline.attendance import Attendance
    from pipeline.recipes.active_record import ActiveRecord


class RecordWriter:
    """One record at a time; `on_written` hears, in the station's own turn, when it is there, or why not."""

    def __init__(self, directory: Path, attendance: Attendance) -> None:
        self.on_written: Callable[[str | None], None] = lambda _error: None
        self._directory = directory
        self._thread: Thread | None = None
        self._error: str | None = None
        self._done = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        attendance.watch(self._done, self._hear)

    def write(self, record: ActiveRecord) -> None:
        """Begin to write; not before the last one was heard of."""
        assert self._thread is None
        self._thread = Thread(target=self._write, args=(record,), name="active-record")
        self._thread.start()

    def close(self) -> None:
        """Wait for what is being written. Once, at the station's end."""
        if self._thread is not None:
            self._thread.join()
        os.close(self._done)

    def _write(self, record: ActiveRecord) -> None:
        self._error = None
        try:
            save_active(record, self._directory)
        except RecipeError as error:
            self._error = str(error)
        os.eventfd_write(self._done, 1)

    def _hear(self) -> None:
        os.eventfd_read(self._done)
        assert self._thread is not None
        self._thread.join()
        self._thread = None
        self.on_written(self._error)
