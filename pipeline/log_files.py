"""What a log record becomes: a line of JSON in a file that is cut by size, or text for people.

structlog is loaded with the first record, on the thread that writes: a process that starts waits for nothing.
"""

from __future__ import annotations

import logging
import logging.handlers
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping
    from typing import Any

    from structlog.typing import Processor

    from pipeline.log_config import LoggingConfig

Context = dict[str, "str | None"]


class JsonLines(logging.handlers.RotatingFileHandler):
    """DIRECTORY/PROCESS.jsonl. What cannot be written is counted in `failed`, and told of once."""

    def __init__(self, process: str, settings: LoggingConfig, context: Context) -> None:
        assert settings.directory is not None
        super().__init__(
            Path(settings.directory) / f"{process}.jsonl",
            maxBytes=round(settings.file_mib * 2**20),
            backupCount=settings.files - 1,
            encoding="utf-8",
            delay=True,
        )
        self.setLevel(settings.level.upper())
        self.failed = 0
        self._context = context

    def format(self, record: logging.LogRecord) -> str:
        """One line of JSON."""
        if self.formatter is None:
            self.formatter = _json_formatter(self._context)
        return self.formatter.format(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Go on without the record: the disk is full, or the directory is gone."""
        del record
        self.failed += 1
        if self.failed == 1:
            print(f"warning: {self.baseFilename}: cannot be written: {sys.exc_info()[1]}", file=sys.stderr)


class Terminal(logging.StreamHandler[TextIO]):
    """Standard error as it is at the time: progress displays replace it."""

    def __init__(self, settings: LoggingConfig, context: Context) -> None:
        super().__init__(sys.stderr)
        self.setLevel(settings.terminal_level.upper())
        self._context = context

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line, and a traceback if there is one."""
        self.stream = sys.stderr
        super().emit(record)

    def format(self, record: logging.LogRecord) -> str:
        """Text for people."""
        if self.formatter is None:
            self.formatter = _text_formatter(self._context, colors=sys.stderr.isatty())
        return self.formatter.format(record)


def _json_formatter(context: Context) -> logging.Formatter:
    import structlog

    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_common(context),
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(ensure_ascii=False, default=str),
        ],
    )


def _text_formatter(context: Context, *, colors: bool) -> logging.Formatter:
    import structlog

    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_common(context),
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            _for_people,
            structlog.dev.ConsoleRenderer(
                colors=colors, pad_event_to=0, exception_formatter=structlog.dev.plain_traceback
            ),
        ],
    )


def _common(context: Context) -> list[Processor]:
    """What every record gets: when, how bad, from where; of the process what it does not say itself."""
    import structlog

    def add_context(
        _logger: object, _method: str, event: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        event.pop("message", None)  # pytest's handler leaves it in the record; `event` says the same
        for key, value in context.items():
            if event.get(key) is None:
                event[key] = value
        return event

    return [
        structlog.stdlib.ExtraAdder(),
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.MaybeTimeStamper(fmt="iso", utc=True),
        add_context,
    ]


def _for_people(_logger: object, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """Without what is only good for machines."""
    hidden = {"epoch", "logger", "kind", "reason_code"}
    return {key: value for key, value in event.items() if key not in hidden and value is not None}
