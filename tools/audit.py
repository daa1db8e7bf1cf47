"""`hlgfa audit`: prove from the journal that every trigger has exactly one result."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated

import typer

TIME = "UTC or with its zone: 2026-03-01T06:00, 2026-03-01T06:00+01:00."


def audit(
    journal: Annotated[Path, typer.Argument(help="A journal's directory, or one file of it.")] = Path(
        "journal"
    ),
    from_: Annotated[str | None, typer.Option("--from", help=f"Begin of the period, {TIME}")] = None,
    to: Annotated[str | None, typer.Option(help="End of the period, not part of it.")] = None,
    json: Annotated[bool, typer.Option("--json", help="The account as JSON.")] = False,
) -> None:
    """Count triggers, accepts and rejects by reason over all starts, and say whether anything is missing."""
    from pipeline.config import ConfigError
    from pipeline.history.journal_audit import Period
    from pipeline.history.journal_files import journal_files
    from tools.audit_report import make_report, render
    from tools.audit_view import print_report

    if not journal_files(journal):
        earlier = list(journal.glob("*.journal"))
        if earlier:
            raise ConfigError(
                f"{journal}: found {len(earlier)} file(s) of a version whose journal this one does not read. "
                "Audit them with that version, then move them away (docs/deployment.md)."
            )
        raise ConfigError(f"{journal}: found no journal, expected a .journal file or a directory with one.")
    report = make_report(journal, Period(_parse(from_, "--from"), _parse(to, "--to")))
    if json:
        typer.echo(render(report))
    else:
        print_report(report)
    if not report.holds:
        raise typer.Exit(1)


def _parse(text: str | None, option: str) -> int | None:
    """UTC in ns."""
    from pipeline.config import ConfigError

    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError as error:
        raise ConfigError(f"{option}: found {text!r}, expected a time, {TIME}") from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return round(moment.timestamp() * 1e6) * 1000
