"""The root process: starts the stages, watches them, stops them in order.

It loads no camera SDK, no engine runtime and no torch, so nothing native can take it down, and every
trigger gets its result whether or not anyone else is alive.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pipeline import realtime
from pipeline.assembly import assemble
from pipeline.attendance import StationError
from pipeline.history.journal_repair import repaired
from pipeline.messages import StageLatency
from pipeline.notify import Notifier
from pipeline.realtime import GarbageCollector
from pipeline.trigger_desk import TriggerDesk

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.config import Config
    from pipeline.messages import StationState
    from pipeline.requests import ReleaseHoldReply, ReleaseHoldRequest

LONGEST_WAIT_MS = 50


class RunReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a finished run leaves."""

    triggers: int
    dropped: int
    restarts: int
    frames_skipped: int
    frames_lost: int
    journal: Path
    epoch: str
    latencies: list[StageLatency]


class Station:
    """One station, ready to run. `run` returns when it is stopped or has answered `stop_after` triggers."""

    def __init__(
        self, config: Config, *, stop_after: int | None = None, stub_engine_ms: float | None = None
    ) -> None:
        """Bind the sockets, allocate the rings, open the journal; nothing runs yet.

        Args:
            config: of the station.
            stop_after: triggers after which `run` returns; None for no end.
            stub_engine_ms: for measurements: how long an engine waits that rejects every part.

        Raises:
            ConfigError: an address, a key, the shared memory or the journal cannot be used, or the recipe
                that was active last.
            JournalError: the torn end of an earlier file cannot be cut off.
        """
        self._config = config
        self._stopping = False
        self._state: StationState = "Preoperational"
        self._exit = contextlib.ExitStack()
        with contextlib.ExitStack() as opening:
            self._systemd = opening.enter_context(contextlib.closing(Notifier(os.environ)))
            parts = assemble(config, opening, stop_after=stop_after, stub_engine_ms=stub_engine_ms)
            self._exit = opening.pop_all()
        resources, judging, staff, self._recipes = parts
        self._poller, self._publisher, self._lines = resources.poller, resources.publisher, resources.lines
        self._journal, self._repairs = resources.journal, resources.repairs
        self._outbox, self._heartbeat = judging.outbox, judging.heartbeat
        self._gate, self._inspection, self._flow = judging.gate, judging.inspection, judging.flow
        self._attendance, self._history, self._crew = staff.attendance, staff.history, staff.crew
        self._desk = TriggerDesk(config.parts, lines=self._lines, flow=self._flow, state=lambda: self._state)
        for socket in self._publisher.poll_sockets():
            self._attendance.watch(socket, self._serve_publisher)

    # Life

    @property
    def epoch(self) -> str:
        """What tells this start from all others."""
        return self._journal.epoch

    @property
    def endpoints(self) -> dict[str, str]:
        """Addresses of the three sockets, with their real ports."""
        return {
            "results": self._publisher.results_endpoint,
            "heatmaps": self._publisher.heatmaps_endpoint,
            "replay": self._publisher.replay_endpoint,
        }

    @property
    def process_ids(self) -> dict[str, int]:
        """Process id of every child that is running, by its name."""
        return {child.name: child.pid for child in self._crew.children if child.pid is not None}

    @property
    def counts(self) -> tuple[int, int, int]:
        """Triggers, accepts and rejects so far."""
        ledger = self._flow.ledger
        return ledger.total(), ledger.accepts.total(), ledger.rejects.total()

    def run(self, on_ready: Callable[[], None] | None = None) -> RunReport:
        """Start everything, monitor until stopped, stop in order. May be called once.

        Args:
            on_ready: called once, when all cameras and the engine are ready and before the first frame.

        Raises:
            StationError: a camera or the engine cannot start.
        """
        with self._exit:
            self._await_ready()
            with contextlib.closing(GarbageCollector()) as garbage:
                if not self._stopping:
                    if on_ready is not None:
                        on_ready()
                    self._begin()
                while not self._finished():
                    self._turn()
                    garbage.turn(idle=self._flow.idle)
            self._systemd.stopping()
            self._crew.stop()
            self._state = "Halted"
            self._publish_status()
            self._journal.end(triggers=self._flow.ledger.total())
            return self._report()

    def stop(self) -> None:
        """Ask `run` to answer what is open and return; may be called from a signal handler."""
        self._stopping = True
        self._flow.accepting = False

    def close(self) -> None:
        """Free everything of a station that was not run; safe to call again."""
        self._exit.close()

    def _await_ready(self) -> None:
        now_ns = time.monotonic_ns()
        due_ns = now_ns + round(self._config.station.start_timeout_s * 1e9)
        self._crew.start(now_ns)
        while not self._crew.complete and not self._stopping:
            if time.monotonic_ns() > due_ns:
                raise StationError(
                    f"start: {self._crew.waiting_for} not ready in {self._config.station.start_timeout_s} s. "
                    "Correct the cause, or raise station.start_timeout_s."
                )
            self._turn()

    def _begin(self) -> None:
        """Take triggers and frames from now on."""
        now_ns = time.monotonic_ns()
        for line in self._lines.values():
            line.next_shot_ns = now_ns if line.period_ns is not None else None
        self._state = "ContinuousExecution"
        self._flow.accepting = not self._stopping
        self._crew.go()
        settings = self._config.realtime
        self._attendance.warn(realtime.apply(settings, cores=settings.station_cores))
        self._attendance.warn([repaired(found) for found in self._repairs])
        if self._recipes is not None:
            self._recipes.changer.announce_start()
        self._publish_status()
        self._systemd.ready()

    def _finished(self) -> bool:
        ended = all(line.ended for line in self._lines.values())
        return (self._stopping or self._flow.complete or ended) and self._flow.idle

    def _report(self) -> RunReport:
        return RunReport(
            triggers=self._flow.ledger.total(),
            dropped=self._publisher.dropped,
            restarts=self._crew.restarts,
            frames_skipped=sum(line.frames_skipped for line in self._lines.values()),
            frames_lost=sum(line.frames_lost for line in self._lines.values()),
            journal=self._journal.directory,
            epoch=self._journal.epoch,
            latencies=self._outbox.latencies.summary(),
        )

    # The loop

    def _turn(self) -> None:
        """Wait for whatever comes next and deal with it."""
        resume_ns = self._publisher.watch_connections(self._poller)
        for socket, _ in self._poller.poll(self._wait_ms(resume_ns)):
            handler = self._attendance.handlers.get(socket)
            if handler is not None:  # an earlier handler of this turn may have buried its child
                handler()
        now_ns = time.monotonic_ns()
        self._flow.expire(now_ns)
        self._flow.shoot_due(now_ns)
        self._flow.dispatch()
        self._crew.check(now_ns)
        if self._recipes is not None:
            self._recipes.changer.turn(now_ns)
        if self._heartbeat.status_due(now_ns):
            self._publish_status()
        self._heartbeat.stats_if_due(now_ns)
        self._outbox.tell_refusals(now_ns)
        self._systemd.pet(now_ns)

    def _wait_ms(self, resume_ns: int | None) -> int:
        """Milliseconds until something is due by time, rounded up, at most `LONGEST_WAIT_MS`."""
        due = [line.next_shot_ns for line in self._lines.values() if line.next_shot_ns is not None]
        expiry_ns = self._flow.ledger.next_expiry_ns()
        if expiry_ns is not None:
            due.append(expiry_ns)
        if resume_ns is not None:
            due.append(resume_ns)
        if not due:
            return LONGEST_WAIT_MS
        return max(0, min(LONGEST_WAIT_MS, -(-(min(due) - time.monotonic_ns()) // 1_000_000)))

    def _publish_status(self) -> None:
        running = self._state == "ContinuousExecution" and not self._stopping
        self._heartbeat.status(
            state=self._state if self._crew.ready or self._state != "ContinuousExecution" else "Error",
            ready=running and self._crew.ready and not self._gate.held,
            depth=self._inspection.depth,
            lines=self._lines.values(),
            engine=self._crew.engine_state,
            changing=self._gate.held,
        )

    def _serve_publisher(self) -> None:
        on_recipe = None if self._recipes is None else self._recipes.on_request
        self._publisher.serve(self._desk.take, self._history.on_request, on_recipe, self._on_release)

    def _on_release(self, request: ReleaseHoldRequest) -> ReleaseHoldReply:
        reply = self._outbox.drift.release(request)
        self._heartbeat.status_now()
        return reply
