"""The audit as a person reads it, after a run and from a journal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from pipeline.audit import Audit
from pipeline.journal import read_journal

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.messages import StageLatency
    from pipeline.station import RunReport


def print_audit(report: RunReport) -> bool:
    """Print the audit of a finished run; True if every trigger has its one result and none was lost."""
    console = Console()
    audit = Audit.from_results(read_journal(report.journal))
    _print_counts(console, audit, report)
    _print_latencies(console, report.latencies)
    _print_agreement(console, audit)
    failures = audit.failures(opened=report.triggers)
    if report.dropped:
        console.print(f"[yellow]a subscriber was too slow {report.dropped} times and lost results[/]")
    return _print_verdict(console, failures, report.journal)


def print_journal(path: Path) -> bool:
    """Print the audit of a journal; True if it holds exactly one result for every trigger."""
    console = Console()
    audit = Audit.from_results(read_journal(path))
    _print_counts(console, audit, None)
    _print_agreement(console, audit)
    return _print_verdict(console, audit.failures(), path)


def _print_counts(console: Console, audit: Audit, report: RunReport | None) -> None:
    table = Table(title="audit", title_justify="left", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    table.add_row("triggers", str(report.triggers if report else audit.triggers))
    table.add_row("[green]accept[/]", str(audit.accepts))
    table.add_row("[red]reject[/]", str(audit.rejects.total()))
    for reason, count in audit.rejects.most_common():
        table.add_row(f"  {reason}", str(count))
    table.add_row("lost", str(len(audit.missing)))
    if report is not None:
        table.add_row("free-run frames skipped", str(report.frames_skipped))
        table.add_row("frames that never came", str(report.frames_lost))
        table.add_row("process restarts", str(report.restarts))
    console.print(table)


def _print_latencies(console: Console, latencies: list[StageLatency]) -> None:
    table = Table(title="latency, ms", title_justify="left")
    table.add_column("stage")
    for column in ("p50", "p99", "p99.9", "max", "count"):
        table.add_column(column, justify="right")
    for row in latencies:
        cells = [f"{value / 1000:.2f}" for value in (row.p50_us, row.p99_us, row.p999_us or 0.0, row.max_us)]
        table.add_row(row.stage, *cells, str(row.count))
    console.print(table)


def _print_agreement(console: Console, audit: Audit) -> None:
    agreement = audit.agreement()
    if agreement is None:
        return
    caught, defects, false_rejects, good = agreement
    table = Table(title="agreement with the simulator's truth", title_justify="left")
    table.add_column("part")
    for column in ("parts", "called anomalous"):
        table.add_column(column, justify="right")
    for kind in sorted({kind for kind, _ in audit.truth}):
        failed, passed = audit.truth[kind, True], audit.truth[kind, False]
        table.add_row(kind, str(failed + passed), f"{failed}  ({failed / (failed + passed):.1%})")
    console.print(table)
    parts = []
    if defects:
        parts.append(f"defects caught: {caught} of {defects} ({caught / defects:.1%})")
    if good:
        parts.append(f"false rejects: {false_rejects} of {good} ({false_rejects / good:.1%})")
    console.print(", ".join(parts))


def _print_verdict(console: Console, failures: list[str], journal: Path) -> bool:
    console.print(f"journal: {journal}", soft_wrap=True)
    if failures:
        for failure in failures:
            console.print(f"[bold red]audit failed:[/] {failure}", soft_wrap=True)
        return False
    console.print("[bold green]audit holds:[/] triggers = accepts + rejects, nothing lost")
    return True
