"""Puts the parts of a station together; nothing of it runs yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pipeline.attendance import Attendance
from pipeline.crew import Crew
from pipeline.flow import Flow
from pipeline.heartbeat import Heartbeat
from pipeline.history.history import History
from pipeline.inspection_line import InspectionLine
from pipeline.inspector import Inspector
from pipeline.judge import TriggerLedger
from pipeline.outbox import Outbox
from pipeline.recipes.changer import Changer
from pipeline.recipes.gate import RecipeGate
from pipeline.recipes.plan import as_started, plan_start, setup_of
from pipeline.recipes.recipe_desk import RecipeDesk
from pipeline.recipes.standby import Standby
from pipeline.resources import open_resources

if TYPE_CHECKING:
    import contextlib

    from pipeline.config import Config
    from pipeline.recipes.plan import Setup, Start
    from pipeline.resources import Resources


class Judging(NamedTuple):
    """What brings a part from its trigger to its published result, and tells how that goes."""

    outbox: Outbox
    heartbeat: Heartbeat
    gate: RecipeGate
    inspection: InspectionLine
    flow: Flow


class Staff(NamedTuple):
    """Who looks after the child processes."""

    attendance: Attendance
    inspector: Inspector
    history: History
    crew: Crew


class Parts(NamedTuple):
    """All of a station; `recipes` is None for a station of one product."""

    resources: Resources
    judging: Judging
    staff: Staff
    recipes: RecipeDesk | None


def assemble(
    config: Config, stack: contextlib.ExitStack, *, stop_after: int | None, stub_engine_ms: float | None
) -> Parts:
    """Bind the sockets, allocate the rings, open the journal. What is opened is closed with `stack`.

    Raises:
        ConfigError: an address, a key, the shared memory or the journal cannot be used, or the recipe that
            was active last is not what it was.
        JournalError: the torn end of an earlier file cannot be cut off.
    """
    start = plan_start(config)
    started = as_started(config, start)
    resources = open_resources(started, stack)
    judging = _make_judging(started, resources, stop_after)
    staff = _make_staff(config, setup_of(config, start), resources, judging, stub_engine_ms)
    recipes = None if start is None else _make_recipes(config, start, resources, judging, staff)
    return Parts(resources, judging, staff, recipes)


def _make_judging(config: Config, resources: Resources, stop_after: int | None) -> Judging:
    publisher, journal = resources.publisher, resources.journal
    lines, history, writer = resources.lines, resources.history, resources.writer
    ledger = TriggerLedger(guard_ns=round(config.station.deadline_guard_ms * 1e6))
    outbox = Outbox(
        config, ledger=ledger, journal=journal, publisher=publisher, history=history, writer=writer
    )
    heartbeat = Heartbeat(config.station, ledger=ledger, outbox=outbox, publisher=publisher, history=history)
    gate = RecipeGate()
    inspection = InspectionLine(
        resources.inspection, lines=lines, ledger=ledger, outbox=outbox, history=history
    )
    flow = Flow(
        deadline_ns=round(config.station.deadline_ms * 1e6),
        lines=lines,
        inspection=inspection,
        gate=gate,
        outbox=outbox,
        ledger=ledger,
        stop_after=stop_after,
    )
    return Judging(outbox, heartbeat, gate, inspection, flow)


def _make_staff(
    config: Config, setup: Setup, resources: Resources, judging: Judging, stub_engine_ms: float | None
) -> Staff:
    lines, publisher, epoch = resources.lines, resources.publisher, resources.journal.epoch
    outbox, heartbeat, gate, inspection, flow = judging
    attendance = Attendance(outbox, heartbeat, resources.poller)
    attendance.watch(resources.writer.done, resources.writer.hear)
    inspector = Inspector(
        config,
        setup,
        lines=lines,
        inspection=inspection,
        gate=gate,
        outbox=outbox,
        attendance=attendance,
        stub_engine_ms=stub_engine_ms,
    )
    history = History(config, resources.history, epoch=epoch, lines=lines, outbox=outbox, publisher=publisher)
    crew = Crew(config, lines=lines, inspector=inspector, history=history, flow=flow, attendance=attendance)
    return Staff(attendance, inspector, history, crew)


def _make_recipes(
    config: Config, start: Start, resources: Resources, judging: Judging, staff: Staff
) -> RecipeDesk:
    attendance, inspector, _, crew = staff
    make_child = resources.workshop.make_brief
    standby = Standby(config, make_child=make_child, inspector=inspector, attendance=attendance)
    resources.stack.callback(lambda: judging.inspection.child.kill())  # noqa: PLW0108 - the one in force then
    resources.stack.callback(standby.close)
    changer = Changer(
        config.station,
        start,
        lines=resources.lines,
        standby=standby,
        writer=resources.writer,
        inspector=inspector,
        crew=crew,
        flow=judging.flow,
        gate=judging.gate,
        outbox=judging.outbox,
        heartbeat=judging.heartbeat,
        attendance=attendance,
    )
    return RecipeDesk(config, start.shelf, changer=changer, flow=judging.flow)
