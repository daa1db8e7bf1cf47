"""Figures of a command as a JSON file, for its option --json."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engines.records import indented_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def write_report(report: Mapping[str, object], path: Path) -> None:
    """Write the figures, and make the folder that they go to."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(indented_json(report))
