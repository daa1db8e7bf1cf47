"""What is written beside a frame that is kept."""

from __future__ import annotations

import msgspec

from pipeline.messages import HeatmapHeader, ResultHeader


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What an entry's JSON says."""

    schema: str = "hlgfa.archive/1.0"
    result: ResultHeader
    heatmap: HeatmapHeader | None


class ArchiveError(Exception):
    """A frame could not be kept; the message says why."""
