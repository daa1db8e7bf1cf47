"""Puts the station's records on the disk on a thread of its own: a disk may take seconds, statuses go on."""

from __future__ import annotations

import logging
import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    Heard = Callable[[BaseException | None], None]
    """Called in the station's own turn when it is written, or with why not."""

_log = logging.getLogger(__name__)


class _Job(NamedTuple):
    written: Future[None]
    heard: Heard


class DiskWriter:
    """One record after another, in the order that they are given.

    Call `hear` when `done` is readable.
    """

    def __init__(self) -> None:
        self.done = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread = ThreadPoolExecutor(1, "disk-writer")
        self._jobs: deque[_Job] = deque()

    def write(self, save: Callable[[], None], heard: Heard) -> None:
        """Begin to write as soon as what was given before is written."""
        written = self._thread.submit(save)
        self._jobs.append(_Job(written, heard))
        written.add_done_callback(lambda _: os.eventfd_write(self.done, 1))

    def hear(self) -> None:
        """Tell of what is written by now."""
        os.eventfd_read(self.done)
        while self._jobs and self._jobs[0].written.done():
            job = self._jobs.popleft()
            job.heard(job.written.exception())

    def close(self) -> None:
        """Wait until all of it is written. Once, at the station's end: what fails now can only be logged."""
        self._thread.shutdown()
        for job in self._jobs:
            error = job.written.exception()
            if error is not None:
                _log.error("at the station's end: %s", error)
        os.close(self.done)
