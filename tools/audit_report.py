"""The audit of a period of a journal as one record: what `hlgfa audit --json` prints."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Literal

import msgspec
import numpy as np

from pipeline.history.journal_audit import audit_starts
from pipeline.history.journal_files import being_written, journal_files

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.history.journal_audit import Period, StartAudit


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Trigger to published, in milliseconds."""

    p50_ms: float
    p99_ms: float
    max_ms: float


class StartReport(msgspec.Struct, frozen=True, kw_only=True):
    """One start of the station in the period; `end` is what is known of how it ended.

    `gaps` are triggers without a result; those in `open_at_end` were still to be decided when it was killed.
    """

    epoch: str
    opened: str
    end: Literal["stopped", "killed", "running"]
    triggers: int
    accepts: int
    rejects: int
    gaps: list[tuple[int, int]]
    open_at_end: list[tuple[int, int]]
    repeated: list[int]
    failures: list[str]


class AuditReport(msgspec.Struct, frozen=True, kw_only=True):
    """All starts together.

    `holds` if no line is damaged and every trigger has its one result, but for those that a killed start had
    still to decide.
    """

    schema: str = "hlgfa.audit/1.0"
    journal: str
    period_from: str | None = msgspec.field(name="from")
    period_to: str | None = msgspec.field(name="to")
    holds: bool
    triggers: int
    accepts: int
    rejects: int
    rejects_by_reason: dict[str, int]
    latency: Latency | None
    truth: list[tuple[str, int, int]]
    starts: list[StartReport]


def make_report(journal: Path, period: Period) -> AuditReport:
    """Audit every start in the period; `truth` is kind of part, parts, called anomalous."""
    reasons: Counter[str] = Counter()
    truth: Counter[tuple[str, bool]] = Counter()
    starts, latencies = [], []
    for found in audit_starts(journal, period):
        reasons += found.account.rejects
        truth += found.account.truth
        latencies.append(np.asarray(found.account.latencies_us))
        starts.append(_start(journal, found))
    return AuditReport(
        journal=str(journal),
        period_from=_utc(period.from_ns),
        period_to=_utc(period.to_ns),
        holds=not any(start.failures for start in starts),
        triggers=sum(start.triggers for start in starts),
        accepts=sum(start.accepts for start in starts),
        rejects=sum(start.rejects for start in starts),
        rejects_by_reason=dict(reasons.most_common()),
        latency=_latency(np.concatenate(latencies)) if latencies else None,
        truth=[
            (kind, truth[kind, True] + truth[kind, False], truth[kind, True])
            for kind in sorted({kind for kind, _ in truth})
        ],
        starts=starts,
    )


def render(report: AuditReport) -> str:
    """The report as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2).decode()


def _start(journal: Path, found: StartAudit) -> StartReport:
    account = found.account
    last = [file.path for file in journal_files(journal) if file.epoch == found.epoch][-1]
    running = found.ended is None and being_written(last)
    return StartReport(
        epoch=found.epoch,
        opened=_utc(found.opened_ns) or "",
        end="running" if running else "killed" if found.ended is None else "stopped",
        triggers=account.triggers,
        accepts=account.accepts,
        rejects=account.rejects.total(),
        gaps=account.gaps,
        open_at_end=found.open_at_end,
        repeated=account.repeated,
        failures=found.failures,
    )


def _latency(latencies_us: np.ndarray[tuple[int], np.dtype[np.uint64]]) -> Latency | None:
    if latencies_us.size == 0:
        return None
    p50, p99 = np.percentile(latencies_us, [50, 99]) / 1000
    return Latency(p50_ms=float(p50), p99_ms=float(p99), max_ms=float(latencies_us.max()) / 1000)


def _utc(time_ns: int | None) -> str | None:
    if time_ns is None:
        return None
    return datetime.fromtimestamp(time_ns / 1e9, tz=timezone.utc).isoformat(timespec="milliseconds")
