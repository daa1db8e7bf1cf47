"""The root process: starts the stages, watches them, stops them in order.

It loads no camera SDK, no engine runtime and no torch, so nothing native can take it down, and every
trigger gets its result whether or not anyone else is alive.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import zmq

from pipeline import realtime
from pipeline.access.keys import load_station_keys
from pipeline.camera_line import CameraLine
from pipeline.child import Child
from pipeline.crew import Crew, StationError
from pipeline.flow import Flow
from pipeline.frame import frame_bytes
from pipeline.history.history import History
from pipeline.history.history_line import HistoryLine
from pipeline.history.journal import Journal
from pipeline.history.journal_repair import repair, repaired
from pipeline.judge import TriggerLedger
from pipeline.messages import Reason, StageLatency
from pipeline.outbox import Outbox
from pipeline.publisher import Publisher
from pipeline.realtime import GarbageCollector
from pipeline.requests import TriggerReply, TriggerRequest
from pipeline.ring import SHARED_MEMORY, Ring, page_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.config import Config
    from pipeline.messages import StationState
    from pipeline.requests import ReleaseHoldReply, ReleaseHoldRequest

LONGEST_WAIT_MS = 50
HISTORIAN_NICENESS = 5
"""Its start alone (half a second of a core) cost a line at 50 parts/s frames on two busy cores."""


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
            ConfigError: an address, a key, the shared memory or the journal cannot be used.
            JournalError: the torn end of an earlier file cannot be cut off.
        """
        self._config = config
        self._stopping = False
        self._state: StationState = "Preoperational"
        self._poller = zmq.Poller()
        self._exit = contextlib.ExitStack()
        with contextlib.ExitStack() as opening:
            self._open(opening, stop_after, stub_engine_ms)
            self._exit = opening.pop_all()

    def _open(
        self, stack: contextlib.ExitStack, stop_after: int | None, stub_engine_ms: float | None
    ) -> None:
        config, epoch = self._config, str(uuid.uuid4())
        self._publisher = stack.enter_context(self._make_publisher(epoch))
        self._lines = {line.name: line for line in self._make_lines(stack)}
        inspection = self._make_child("inspection", "pipeline.inspection", stack)
        self._repairs = repair(Path(config.station.journal_dir))
        self._journal = stack.enter_context(self._make_journal(epoch))
        historian = self._make_child("historian", "pipeline.history.historian", stack, HISTORIAN_NICENESS)
        history = HistoryLine(historian, config.archive)
        ledger = TriggerLedger(guard_ns=round(config.station.deadline_guard_ms * 1e6))
        self._outbox = Outbox(
            config,
            ledger=ledger,
            journal=self._journal,
            publisher=self._publisher,
            history=history,
            epoch=epoch,
        )
        self._history = History(
            config,
            history,
            epoch=epoch,
            lines=self._lines,
            outbox=self._outbox,
            publisher=self._publisher,
        )
        self._flow = Flow(
            config.station,
            lines=self._lines,
            inspection=inspection,
            outbox=self._outbox,
            ledger=ledger,
            history=history,
            stop_after=stop_after,
        )
        self._crew = Crew(
            config,
            lines=self._lines,
            inspection=inspection,
            history=self._history,
            flow=self._flow,
            outbox=self._outbox,
            poller=self._poller,
            stub_engine_ms=stub_engine_ms,
        )
        for socket in self._publisher.poll_sockets():
            self._crew.watch(socket, self._serve_publisher)

    def _make_publisher(self, epoch: str) -> Publisher:
        config = self._config
        return Publisher(
            config.sockets,
            line=config.station.line,
            station=config.station.name,
            epoch=epoch,
            clock_kind="free",
            now_utc_ns=time.time_ns,
            keys=None if config.security is None else load_station_keys(config.security),
        )

    def _make_journal(self, epoch: str) -> Journal:
        settings = self._config.station
        return Journal(
            Path(settings.journal_dir),
            epoch=epoch,
            line=settings.line,
            station=settings.name,
            settings=self._config.journal,
        )

    def _make_lines(self, stack: contextlib.ExitStack) -> list[CameraLine]:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        stack.callback(self._context.term)
        self._directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hlgfa-")))
        lines = []
        for camera in self._config.cameras:
            size = frame_bytes(camera.width_px, camera.height_px, camera.pixel_format)
            slots = self._config.ring.slots
            ring = Ring.create(SHARED_MEMORY, slots=slots, slot_bytes=page_bytes(size))
            stack.enter_context(ring)
            child = self._make_child(f"capture-{camera.name}", "pipeline.capture", stack)
            lines.append(CameraLine(camera, ring, child))
        return lines

    def _make_child(self, name: str, module: str, stack: contextlib.ExitStack, niceness: int = 0) -> Child:
        child = Child(name, module, context=self._context, directory=self._directory, niceness=niceness)
        stack.callback(child.kill)
        return child

    # Life

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
        self._crew.warn(realtime.apply(settings, cores=settings.station_cores))
        self._crew.warn([repaired(found) for found in self._repairs])
        self._publish_status()

    def _finished(self) -> bool:
        ended = all(line.ended for line in self._lines.values())
        return (self._stopping or self._flow.complete or ended) and self._flow.idle

    def _report(self) -> RunReport:
        return RunReport(
            triggers=self._flow.ledger.total(),
            dropped=self._publisher.dropped,
            restarts=sum(max(0, child.lives - 1) for child in self._crew.children),
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
            handler = self._crew.handlers.get(socket)
            if handler is not None:  # an earlier handler of this turn may have buried its child
                handler()
        now_ns = time.monotonic_ns()
        self._flow.expire(now_ns)
        self._flow.shoot_due(now_ns)
        self._flow.dispatch()
        self._crew.check(now_ns)
        if self._outbox.status_due(now_ns):
            self._publish_status()
        self._outbox.stats_if_due(now_ns)
        self._outbox.tell_refusals(now_ns)

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
        self._outbox.status(
            state=self._state if self._crew.ready or self._state != "ContinuousExecution" else "Error",
            ready=running and self._crew.ready,
            depth=self._flow.depth,
            lines=self._lines.values(),
            engine=self._crew.engine_state,
        )

    def _serve_publisher(self) -> None:
        self._publisher.serve(self._on_trigger, self._history.on_request, self._on_release)

    def _on_release(self, request: ReleaseHoldRequest) -> ReleaseHoldReply:
        reply = self._outbox.drift.release(request)
        self._outbox.status_now()
        return reply

    def _on_trigger(self, request: TriggerRequest) -> TriggerReply:
        """Take a trigger from outside; what is taken gets exactly one result."""
        names = self._meant(request.camera)
        refusal = self._refusal(names, request.camera)
        if refusal is not None:
            return TriggerReply(
                trigger_id=request.trigger_id,
                taken=False,
                reason_code=int(Reason.RECIPE_NOT_READY),
                reason=refusal,
            )
        self._flow.open_requested([self._lines[name] for name in names], request)
        return TriggerReply(trigger_id=request.trigger_id, taken=True)

    def _meant(self, camera: str | None) -> list[str]:
        """Names of the cameras that a request is for."""
        if camera is not None:
            return [camera]
        parts = self._config.parts
        return list(self._lines) if parts is None else parts.cameras

    def _refusal(self, names: list[str], camera: str | None) -> str | None:
        unknown = [name for name in names if name not in self._lines]
        if unknown or (len(names) > 1 and self._config.parts is None):
            return f"found camera {camera!r}, expected one of: {', '.join(self._lines)}"
        for name in names:
            trigger = self._lines[name].config.trigger
            if trigger.source == "freerun":
                return f"camera {name} runs freely, expected trigger source 'software', 'line' or 'encoder'"
            if trigger.every_frame and trigger.announce_window_ms is None:
                return (
                    f"camera {name} is triggered by {trigger.source!r}, expected 'software', or "
                    "trigger.announce_window_ms to announce its parts"
                )
        if not self._flow.accepting:
            return f"the station takes no triggers: {self._state}"
        return None
