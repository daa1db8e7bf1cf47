"""What a test, or a library that it loads, does to logging is undone before the next test, and told.

OpenVINO's converter leaves the root logger at ERROR when a conversion fails. In a whole run something else
made tests that read captured logs find none, without a change of the root's or our loggers' levels; what it
was is not known, so what decides is looked at before each test.
"""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

OURS = ("pipeline", "engines", "calibration", "tools")


class State(NamedTuple):
    """What decides whether a record of ours is heard."""

    level: int
    disabled: bool
    disable: int
    filters: tuple[Any, ...]
    loggers: dict[str, tuple[int, bool, bool]]
    muted: tuple[str, ...]


def state() -> State:
    """As it is now; `loggers` are those of ours that are not as they were made."""
    root = logging.getLogger()
    return State(
        level=root.level,
        disabled=root.disabled,
        disable=root.manager.disable,
        filters=tuple(root.filters),
        loggers={
            name: (logger.level, logger.disabled, logger.propagate)
            for name, logger in _ours()
            if (logger.level, logger.disabled, logger.propagate) != (logging.NOTSET, False, True)
        },
        muted=tuple(type(handler).__name__ for handler in root.handlers if handler.level > root.level),
    )


def restore(before: State) -> None:
    """Make it as it was; handlers are pytest's own, and hear everything."""
    root = logging.getLogger()
    root.setLevel(before.level)
    root.disabled = before.disabled
    root.manager.disable = before.disable
    root.filters = list(before.filters)
    for name, logger in _ours():
        level, logger.disabled, logger.propagate = before.loggers.get(name, (logging.NOTSET, False, True))
        logger.setLevel(level)
    for handler in root.handlers:
        handler.setLevel(logging.NOTSET)


def _ours() -> list[tuple[str, logging.Logger]]:
    known = logging.getLogger().manager.loggerDict.items()
    return [
        (name, logger)
        for name, logger in known
        if isinstance(logger, logging.Logger) and name.split(".")[0] in OURS
    ]
