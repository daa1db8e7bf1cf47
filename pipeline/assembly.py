"""Makes the parts of a station and puts them together; nothing of it runs yet."""

from __future__ import annotations

import tempfile
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import zmq

from pipeline.access.keys import load_station_keys
from pipeline.attendance import Attendance
from pipeline.camera_line import CameraLine
from pipeline.child import Child
from pipeline.crew import Crew
from pipeline.flow import Flow
from pipeline.frame import frame_bytes
from pipeline.heartbeat import Heartbeat
from pipeline.history.history import History
from pipeline.history.history_line import HistoryLine
from pipeline.history.image_pace import ImagePace
from pipeline.history.journal import Journal
from pipeline.history.journal_repair import repair
from pipeline.inspection_line import InspectionLine
from pipeline.inspector import Inspector
from pipeline.judge import TriggerLedger
from pipeline.log_config import LogSpec
from pipeline.outbox import Outbox
from pipeline.publisher import Publisher
from pipeline.recipes.changer import Changer
from pipeline.recipes.gate import RecipeGate
from pipeline.recipes.plan import Setup, as_started, plan_start
from pipeline.recipes.recipe_desk import RecipeDesk
from pipeline.recipes.standby import Standby
from pipeline.ring import SHARED_MEMORY, Ring, page_bytes

if TYPE_CHECKING:
    import contextlib

    from pipeline.config import Config
    from pipeline.history.journal_repair import Repair
    from pipeline.log_config import LoggingConfig
    from pipeline.recipes.plan import Start

HISTORIAN_NICENESS = 5
"""Its start alone (half a second of a core) cost a line at 50 parts/s frames on two busy cores."""


class Wanted(NamedTuple):
    """How one run is to be: `stop_after` triggers, and with an engine that waits in the model's place."""

    stop_after: int | None
    stub_engine_ms: float | None


class Parts(NamedTuple):
    """A station's parts; `recipes` is None for a station of one product."""

    publisher: Publisher
    journal: Journal
    repairs: list[Repair]
    lines: dict[str, CameraLine]
    outbox: Outbox
    heartbeat: Heartbeat
    history: History
    gate: RecipeGate
    inspection: InspectionLine
    flow: Flow
    attendance: Attendance
    crew: Crew
    recipes: RecipeDesk | None


class Workshop:
    """Where processes are made: their context, the folder of their sockets, and how they log."""

    def __init__(self, stack: contextlib.ExitStack, *, epoch: str, logging: LoggingConfig) -> None:
        self._stack, self._epoch, self._logging = stack, epoch, logging
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        stack.callback(self.context.term)
        self.directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hlgfa-")))

    def make_child(self, name: str, module: str, *, niceness: int = 0, camera: str | None = None) -> Child:
        """A process that is not started yet, and ended at the latest with the station."""
        child = self.make_brief(name, module, niceness=niceness, camera=camera)
        self._stack.callback(child.kill)
        return child

    def make_brief(self, name: str, module: str, *, niceness: int = 0, camera: str | None = None) -> Child:
        """A process that is not started yet; its end is the caller's to see to."""
        log = LogSpec(process=name, camera=camera, epoch=self._epoch, settings=self._logging)
        return Child(name, module, context=self.context, directory=self.directory, log=log, niceness=niceness)


def assemble(config: Config, wanted: Wanted, stack: contextlib.ExitStack, *, poller: zmq.Poller) -> Parts:
    """Bind the sockets, allocate the rings, open the journal. What is opened is closed with `stack`.

    Raises:
        ConfigError: an address, a key, the shared memory or the journal cannot be used, or the recipe that
            was active last is not what it was.
        JournalError: the torn end of an earlier file cannot be cut off.
    """
    epoch = str(uuid.uuid4())
    start = plan_start(config)
    publisher = stack.enter_context(_make_publisher(config, epoch))
    workshop = Workshop(stack, epoch=epoch, logging=config.logging)
    lines = {line.name: line for line in _make_lines(as_started(config, start), workshop, stack)}
    child = workshop.make_child("inspection", "pipeline.inspection")
    repairs = repair(Path(config.station.journal_dir))
    journal = stack.enter_context(_make_journal(config, epoch))
    historian = workshop.make_child("historian", "pipeline.history.historian", niceness=HISTORIAN_NICENESS)
    history_line = HistoryLine(historian, config.archive, _image_pace(config, publisher))
    ledger = TriggerLedger(guard_ns=round(config.station.deadline_guard_ms * 1e6))
    outbox = Outbox(
        config, ledger=ledger, journal=journal, publisher=publisher, history=history_line, epoch=epoch
    )
    heartbeat = Heartbeat(
        config.station, ledger=ledger, outbox=outbox, publisher=publisher, history=history_line
    )
    history = History(config, history_line, epoch=epoch, lines=lines, outbox=outbox, publisher=publisher)
    gate = RecipeGate()
    inspection = InspectionLine(child, lines=lines, ledger=ledger, outbox=outbox, history=history_line)
    flow = Flow(
        deadline_ns=round(_deadline_ms(config, start) * 1e6),
        lines=lines,
        inspection=inspection,
        gate=gate,
        outbox=outbox,
        ledger=ledger,
        stop_after=wanted.stop_after,
    )
    attendance = Attendance(outbox, heartbeat, poller)
    inspector = Inspector(
        config,
        _setup(config, start),
        lines=lines,
        inspection=inspection,
        gate=gate,
        outbox=outbox,
        attendance=attendance,
        stub_engine_ms=wanted.stub_engine_ms,
    )
    crew = Crew(config, lines=lines, inspector=inspector, history=history, flow=flow, attendance=attendance)
    recipes = None
    if start is not None:
        standby = Standby(config, make_child=workshop.make_brief, inspector=inspector, attendance=attendance)
        stack.callback(lambda: inspection.child.kill())  # noqa: PLW0108 - the one in force then
        stack.callback(standby.close)
        changer = Changer(
            config.station,
            start,
            lines=lines,
            standby=standby,
            inspector=inspector,
            crew=crew,
            flow=flow,
            gate=gate,
            outbox=outbox,
            heartbeat=heartbeat,
            attendance=attendance,
        )
        recipes = RecipeDesk(config, start.shelf, changer=changer, flow=flow)
    return Parts(
        publisher=publisher,
        journal=journal,
        repairs=repairs,
        lines=lines,
        outbox=outbox,
        heartbeat=heartbeat,
        history=history,
        gate=gate,
        inspection=inspection,
        flow=flow,
        attendance=attendance,
        crew=crew,
        recipes=recipes,
    )


def _image_pace(config: Config, publisher: Publisher) -> ImagePace | None:
    if config.image.policy == "none":
        return None
    return ImagePace(config.image.max_hz, lambda: publisher.maps_are_heard)


def _deadline_ms(config: Config, start: Start | None) -> float:
    if start is None or start.plan is None:
        return config.station.deadline_ms
    return start.plan.deadline_ms


def _setup(config: Config, start: Start | None) -> Setup:
    if start is None or start.plan is None:
        return Setup(engine=config.engine)
    return start.plan.setup


def _make_publisher(config: Config, epoch: str) -> Publisher:
    return Publisher(
        config.sockets,
        line=config.station.line,
        station=config.station.name,
        epoch=epoch,
        clock_kind="free",
        now_utc_ns=time.time_ns,
        keys=None if config.security is None else load_station_keys(config.security),
    )


def _make_journal(config: Config, epoch: str) -> Journal:
    settings = config.station
    return Journal(
        Path(settings.journal_dir),
        epoch=epoch,
        line=settings.line,
        station=settings.name,
        settings=config.journal,
    )


def _make_lines(config: Config, workshop: Workshop, stack: contextlib.ExitStack) -> list[CameraLine]:
    lines = []
    for camera in config.cameras:
        size = frame_bytes(camera.width_px, camera.height_px, camera.pixel_format)
        ring = Ring.create(SHARED_MEMORY, slots=config.ring.slots, slot_bytes=page_bytes(size))
        stack.enter_context(ring)
        child = workshop.make_child(f"capture-{camera.name}", "pipeline.capture", camera=camera.name)
        lines.append(CameraLine(camera, ring, child))
    return lines
