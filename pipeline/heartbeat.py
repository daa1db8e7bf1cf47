"""What the station says of itself by the clock: its status, many times a second, and its stats."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

from pipeline.audit import reason_name
from pipeline.headers import camera_status
from pipeline.messages import Reason, RecipeStatus, StatsHeader, StatusHeader

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipeline.camera_line import CameraLine
    from pipeline.config import StationConfig
    from pipeline.history.history_line import HistoryLine
    from pipeline.judge import TriggerLedger
    from pipeline.messages import StationState
    from pipeline.outbox import Outbox
    from pipeline.publisher import Publisher


class Heartbeat:
    """Status and stats, each with a period of its own, of what ledger, outbox and sockets know."""

    def __init__(
        self,
        settings: StationConfig,
        *,
        ledger: TriggerLedger,
        outbox: Outbox,
        publisher: Publisher,
        history: HistoryLine,
    ) -> None:
        self._status_period_ms = settings.status_period_ms
        self._stats_period_ns = round(settings.stats_period_s * 1e9)
        self._ledger = ledger
        self._outbox = outbox
        self._publisher = publisher
        self._history = history
        self._counter = 0
        self._start_ns = time.monotonic_ns()
        self._status_due_ns = 0
        self._stats_due_ns = self._start_ns + self._stats_period_ns

    def status_now(self) -> None:
        """Make the status due at once: something that it tells of has changed."""
        self._status_due_ns = 0

    def status_due(self, now_ns: int) -> bool:
        """Whether the next status is due."""
        return now_ns >= self._status_due_ns

    def status(
        self,
        *,
        state: StationState,
        ready: bool,
        depth: int,
        lines: Iterable[CameraLine],
        engine: str,
        changing: bool,
    ) -> None:
        """Publish the status; `changing` while no recipe is valid."""
        common = self._publisher.stamp("status")
        self._counter = (self._counter + 1) & 0xFFFF
        self._status_due_ns = time.monotonic_ns() + self._status_period_ms * 1_000_000
        rejects, held = self._ledger.rejects, self._outbox.drift.held
        header = StatusHeader(
            **common,
            counter=self._counter,
            period_ms=self._status_period_ms,
            state=state,
            ready=ready,
            busy=bool(self._ledger.pending()),
            fault="; ".join(self._outbox.faults.values()) or None,
            last_seq={**self._publisher.last_seq, "status": common["seq"]},
            oldest_seq=self._history.floors(self._publisher.last_seq),
            queue_depth=depth,
            dropped=self._publisher.dropped,
            late=sum(n for (_, reason), n in rejects.items() if reason == Reason.LATE),
            cameras=[camera_status(line, self._ledger, held=held(line.name)) for line in lines],
            engine=engine,
            recipe=self._recipe_status(changing=changing),
        )
        self._publisher.publish(header)

    def _recipe_status(self, *, changing: bool) -> RecipeStatus | None:
        recipe = self._outbox.recipe
        if recipe is None:
            return None
        return RecipeStatus(
            id=recipe.id,
            version=recipe.version,
            sha256=recipe.sha256,
            state="changing" if changing else "active",
        )

    def stats_if_due(self, now_ns: int) -> None:
        """Publish counts and recent latencies once a period."""
        if now_ns < self._stats_due_ns:
            return
        self._stats_due_ns = now_ns + self._stats_period_ns
        by_reason: Counter[str] = Counter()
        for (_, reason), count in self._ledger.rejects.items():
            by_reason[reason_name(reason)] += count
        header = StatsHeader(
            **self._publisher.stamp("stats"),
            uptime_s=(now_ns - self._start_ns) / 1e9,
            triggers=self._ledger.total(),
            accepts=self._ledger.accepts.total(),
            rejects=by_reason.total(),
            rejects_by_reason=dict(by_reason),
            stages=self._outbox.recent_latencies.summary(),
            refused=dict(self._publisher.refusals.counts),
            drift=self._outbox.drift.charts(),
        )
        self._outbox.recent_latencies.reset()
        self._publisher.publish(header)
