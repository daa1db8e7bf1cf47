"""Where log records go: one bounded queue a process, and behind it a thread that writes.

Whoever logs, by the standard library's `logging`, only puts a record into the queue. A disk that is slow or
full costs records, which are counted, and no time. Our own packages are heard from the configured level on,
libraries from warnings on.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import logging.handlers
import queue
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.config import ConfigError
from pipeline.log_files import JsonLines, Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from pipeline.log_config import LogSpec

OURS = ("pipeline", "engines", "calibration", "tools")
CLOSE_S = 1.0
"""How long a process that ends waits for its last records to be written."""
_log = logging.getLogger(__name__)


class QueuedHandler(logging.handlers.QueueHandler):
    """Puts records into a bounded queue without waiting; `dropped` counts what did not fit."""

    def __init__(self, outlets: list[logging.Handler], *, records: int) -> None:
        self._waiting: queue.Queue[logging.LogRecord | None] = queue.Queue(records)
        super().__init__(self._waiting)
        self.dropped = 0
        self._told = 0
        self._outlets = outlets
        self._thread = threading.Thread(target=self._write, name="log", daemon=True)
        self._thread.start()

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        """A copy with its text made now, from values as they are now; a traceback is made by the thread."""
        prepared = copy.copy(record)
        prepared.msg, prepared.args = record.getMessage(), None
        return prepared

    def enqueue(self, record: logging.LogRecord) -> None:
        """Take a record, or count that it was dropped."""
        try:
            self._waiting.put_nowait(record)
        except queue.Full:
            self.dropped += 1

    def close(self) -> None:
        """Write what is waiting, for a bounded time; safe to call again."""
        with contextlib.suppress(queue.Full):
            self._waiting.put(None, timeout=CLOSE_S)
        self._thread.join(CLOSE_S)
        super().close()

    def _write(self) -> None:
        while (record := self._waiting.get()) is not None:
            self._hand_out(record)
            if self.dropped > self._told:
                count, self._told = self.dropped - self._told, self.dropped
                text = f"{count} log records were dropped: more than {self._waiting.maxsize} were waiting"
                self._hand_out(_log.makeRecord(__name__, logging.WARNING, "", 0, text, (), None))
        for outlet in self._outlets:
            outlet.close()

    def _hand_out(self, record: logging.LogRecord) -> None:
        for outlet in self._outlets:
            if record.levelno >= outlet.level:
                outlet.handle(record)


class Logs:
    """This process's logs while they are open; `context` is in each record, and may be added to."""

    def __init__(self, spec: LogSpec) -> None:
        self.context: dict[str, str | None] = {
            "process": spec.process,
            "camera": spec.camera,
            "epoch": spec.epoch,
        }
        settings = spec.settings
        outlets: list[logging.Handler] = [Terminal(settings, self.context)]
        if settings.directory is not None:
            outlets.append(JsonLines(spec.process, settings, self.context))
        self._handler = QueuedHandler(outlets, records=settings.queue_records)
        levels = [settings.terminal_level] + ([settings.level] if settings.directory is not None else [])
        self._level = min(logging.getLevelName(level.upper()) for level in levels)
        self._before: dict[logging.Logger, int] = {}

    @property
    def dropped(self) -> int:
        """Records that did not fit into the queue."""
        return self._handler.dropped

    def open(self) -> None:
        """Take over all logging of this process, and what would end it without a word."""
        root, ours = logging.getLogger(), [logging.getLogger(package) for package in OURS]
        self._before = {logger: logger.level for logger in (root, *ours)}
        root.addHandler(self._handler)
        root.setLevel(logging.WARNING)
        for logger in ours:
            logger.setLevel(self._level)
        logging.captureWarnings(capture=True)
        sys.excepthook = _log_uncaught

    def close(self) -> None:
        """Write what is waiting and give logging back as it was; safe to call again."""
        logging.getLogger().removeHandler(self._handler)
        while self._before:
            logger, level = self._before.popitem()
            logger.setLevel(level)
        logging.captureWarnings(capture=False)
        sys.excepthook = sys.__excepthook__
        self._handler.close()


def start(spec: LogSpec) -> Logs:
    """Log as `spec` says until this process ends."""
    logs = Logs(spec)
    logs.open()
    return logs


@contextlib.contextmanager
def started(spec: LogSpec) -> Iterator[Logs]:
    """Log as `spec` says within the block.

    Raises:
        ConfigError: the directory cannot be written.
    """
    _check_directory(spec)
    logs = start(spec)
    try:
        yield logs
    finally:
        logs.close()


def _check_directory(spec: LogSpec) -> None:
    if spec.settings.directory is None:
        return
    directory = Path(spec.settings.directory)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with (directory / f"{spec.process}.jsonl").open("ab"):
            pass
    except OSError as error:
        raise ConfigError(
            f"logging.directory: {error.filename} cannot be written ({error.strerror}). Correct its owner or "
            "mode, or set another directory."
        ) from error


def _log_uncaught(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, traceback)
        return
    _log.critical("this process ends: %s", error, exc_info=(kind, error, traceback))
    logging.shutdown()
