"""The section of config.yaml on logs, and what a process is told of its own."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from pipeline.camera_config import Section

Level = Literal["debug", "info", "warning", "error"]


class LoggingConfig(Section, frozen=True, kw_only=True):
    """What the processes of the line write down, and where.

    Each process writes JSON lines to `directory`/NAME.jsonl, null for none, from `level` on. A full file
    (`file_mib`) becomes NAME.jsonl.1, and so on up to `files` in all. The terminal gets text for people from
    `terminal_level` on. `queue_records` may wait to be written; what does not fit is dropped and counted.
    """

    level: Level = "info"
    terminal_level: Level = "warning"
    directory: str | None = None
    file_mib: Annotated[float, Meta(ge=0.001, le=1_024)] = 10.0
    files: Annotated[int, Meta(ge=2, le=100)] = 5
    queue_records: Annotated[int, Meta(ge=10, le=1_000_000)] = 10_000


class LogSpec(msgspec.Struct, frozen=True, kw_only=True):
    """How one process logs; `process` names its file, and all three are in each of its records."""

    process: str
    camera: str | None = None
    epoch: str | None = None
    settings: LoggingConfig = LoggingConfig()
