"""`hlgfa audit`: prove from the journal that every trigger has exactly one result."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def audit(
    journal: Annotated[Path, typer.Argument(help="A journal file, or a directory of them.")] = Path(
        "journal"
    ),
) -> None:
    """Count triggers, accepts and rejects by reason, and say whether anything is missing."""
    from pipeline.config import ConfigError
    from tools.audit_view import print_journal

    files = sorted(journal.glob("*.journal"), key=lambda file: file.stat().st_mtime)
    if journal.is_file():
        files = [journal]
    if not files:
        raise ConfigError(f"{journal}: found no journal, expected a .journal file or a directory with one.")
    if not all([print_journal(file) for file in files]):  # noqa: C419 - print every one
        raise typer.Exit(1)
