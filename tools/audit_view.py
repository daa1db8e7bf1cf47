"""The audit as a person reads it, after a run and from a journal."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from pipeline.audit import Audit, agreement_with
from pipeline.history.journal_files import read_journal
from pipeline.history.ordinals import count

if TYPE_CHECKING:
    from pipeline.messages import StageLatency
    from pipeline.station import RunReport
    from tools.audit_report import AuditReport, StartReport


def print_audit(report: RunReport) -> bool:
    """Print the audit of a finished run; True if every trigger has its one result and none was lost."""
    console = Console()
    audit = Audit.from_results(read_journal(report.journal, epoch=report.epoch))
    _print_counts(console, audit, report)
    _print_latencies(console, report.latencies)
    _print_agreement(console, audit.truth)
    failures = audit.failures(opened=report.triggers)
    if report.dropped:
        console.print(f"[yellow]a subscriber was too slow {report.dropped} times and lost results[/]")
    return _print_verdict(console, failures, report.journal)


def print_report(report: AuditReport) -> None:
    """Print the audit of a journal over its starts."""
    console = Console()
    _print_starts(console, report.starts)
    rows = {"triggers": report.triggers, "[green]accept[/]": report.accepts, "[red]reject[/]": report.rejects}
    rows |= {f"  {reason}": number for reason, number in report.rejects_by_reason.items()}
    still_open = sum(count(start.open_at_end) for start in report.starts)
    rows["lost"] = sum(count(start.gaps) for start in report.starts) - still_open
    rows["open when it was killed, or now"] = still_open
    rows["repeated"] = sum(len(start.repeated) for start in report.starts)
    _print_rows(console, rows)
    latency = report.latency
    if latency is not None:
        console.print(
            f"trigger to published: p50 {latency.p50_ms:.2f} ms, p99 {latency.p99_ms:.2f} ms, "
            f"max {latency.max_ms:.2f} ms"
        )
    truth: Counter[tuple[str, bool]] = Counter()
    for kind, parts, failed in report.truth:
        truth[kind, True], truth[kind, False] = failed, parts - failed
    _print_agreement(console, truth)
    failures = [f"start {start.epoch}: {failure}" for start in report.starts for failure in start.failures]
    _print_verdict(console, failures, Path(report.journal))


def _print_starts(console: Console, starts: list[StartReport]) -> None:
    table = Table(title="starts", title_justify="left")
    for column in ("opened (UTC)", "epoch", "end"):
        table.add_column(column)
    for column in ("triggers", "accept", "reject"):
        table.add_column(column, justify="right")
    for start in starts:
        counts = (start.triggers, start.accepts, start.rejects)
        table.add_row(start.opened[:19], start.epoch[:8], start.end, *map(str, counts))
    console.print(table)


def _print_rows(console: Console, rows: dict[str, int]) -> None:
    table = Table(title="audit", title_justify="left", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for name, number in rows.items():
        table.add_row(name, str(number))
    console.print(table)


def _print_counts(console: Console, audit: Audit, report: RunReport) -> None:
    rows = {
        "triggers": report.triggers,
        "[green]accept[/]": audit.accepts,
        "[red]reject[/]": audit.rejects.total(),
    }
    rows |= {f"  {reason}": number for reason, number in audit.rejects.most_common()}
    rows["lost"] = count(audit.gaps)
    rows["free-run frames skipped"] = report.frames_skipped
    rows["frames that never came"] = report.frames_lost
    rows["process restarts"] = report.restarts
    _print_rows(console, rows)


def _print_latencies(console: Console, latencies: list[StageLatency]) -> None:
    table = Table(title="latency, ms", title_justify="left")
    table.add_column("stage")
    for column in ("p50", "p99", "p99.9", "max", "count"):
        table.add_column(column, justify="right")
    for row in latencies:
        cells = [f"{value / 1000:.2f}" for value in (row.p50_us, row.p99_us, row.p999_us or 0.0, row.max_us)]
        table.add_row(row.stage, *cells, str(row.count))
    console.print(table)


def _print_agreement(console: Console, truth: Counter[tuple[str, bool]]) -> None:
    agreement = agreement_with(truth)
    if agreement is None:
        return
    caught, defects, false_rejects, good = agreement
    table = Table(title="agreement with the simulator's truth", title_justify="left")
    table.add_column("part")
    for column in ("parts", "called anomalous"):
        table.add_column(column, justify="right")
    for kind in sorted({kind for kind, _ in truth}):
        failed, passed = truth[kind, True], truth[kind, False]
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
