"""Changes the station from one recipe to another while its line runs: what `Changeover` decides, done.

Rules:
1. Nothing here waits: each call does what can be done now, and the rest comes with a later turn.
2. Engine, threshold, camera settings and deadline change together, while no part is open.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from engines.records import now_utc
from pipeline.messages import RecipeChange
from pipeline.recipes.active_record import next_record, restore_active, save_active
from pipeline.recipes.changeover import Changeover, Tell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pipeline.attendance import Attendance
    from pipeline.camera_line import CameraLine
    from pipeline.config import StationConfig
    from pipeline.crew import Crew
    from pipeline.disk_writer import DiskWriter
    from pipeline.flow import Flow
    from pipeline.heartbeat import Heartbeat
    from pipeline.inspector import Inspector
    from pipeline.internal import EngineReady
    from pipeline.outbox import Outbox
    from pipeline.recipes.active_record import ActiveRecord
    from pipeline.recipes.changeover import Action, Step
    from pipeline.recipes.gate import RecipeGate
    from pipeline.recipes.plan import Plan, Start
    from pipeline.recipes.recipe import RecipeFile
    from pipeline.recipes.standby import Standby


class Changer:
    """The recipe of a running station, and the changeover to the next one.

    `record` is what the disk has; `changes` counts the changeovers that have begun.
    """

    def __init__(
        self,
        config: StationConfig,
        start: Start,
        *,
        lines: Mapping[str, CameraLine],
        standby: Standby,
        writer: DiskWriter,
        inspector: Inspector,
        crew: Crew,
        flow: Flow,
        gate: RecipeGate,
        outbox: Outbox,
        heartbeat: Heartbeat,
        attendance: Attendance,
    ) -> None:
        self.record = start.record
        self.changes = 0
        self._directory, self._start_timeout_s = Path(config.journal_dir), config.start_timeout_s
        self._active = start.plan
        self._lines = lines
        self._standby = standby
        self._writer = writer
        self._inspector = inspector
        self._crew = crew
        self._flow = flow
        self._gate = gate
        self._outbox = outbox
        self._heartbeat = heartbeat
        self._attendance = attendance
        self._machine = Changeover()
        self._next: Plan | None = None
        self._ready: EngineReady | None = None
        self._before = {name: line.config for name, line in lines.items()}
        self._restore_due_ns = 0
        self._operator = ""
        self._lost: str | None = None
        standby.on_ready = self._on_loaded
        standby.on_lost = self._on_lost
        crew.on_camera = self._on_camera

    @property
    def under_way(self) -> str | None:
        """What is being changed to, None if nothing is."""
        return None if self._machine.phase == "idle" else self._plan.found.name

    def is_active(self, found: RecipeFile) -> bool:
        """Whether this version is in force."""
        if self._active is None:
            return False
        active = self._active.found.recipe
        return (found.recipe.id, found.recipe.version) == (active.id, active.version)

    def begin(self, plan: Plan, operator: str) -> None:
        """Begin a changeover; events say how it goes.

        Raises:
            ValueError: one is under way.
        """
        self._before = {name: line.config for name, line in self._lines.items()}
        changed = [name for name, camera in plan.cameras.items() if camera != self._before[name]]
        steps = self._machine.begin(changed)
        self.changes += 1
        self._next, self._operator, self._ready = plan, operator, None
        self._do(steps)

    def announce_start(self) -> None:
        """Say with which recipe the station has started."""
        if self.record is None or self._active is None:
            text = "no recipe was chosen yet: engine.model of config.yaml judges. Choose: hlgfa recipe change"
            self._outbox.event("recipe", "warning", text)
            return
        recipe, record = self._active.found.recipe, self.record
        text = f"started with {self._active.found.name}, {recipe.title}, active since {record.changed_utc}"
        change = RecipeChange(
            id=str(recipe.id),
            version=recipe.version,
            sha256=record.sha256,
            state="switched",
            operator=record.operator,
        )
        self._outbox.event("recipe", "info", text, recipe=change)

    def turn(self, now_ns: int) -> None:
        """Go on with what waits for the line or for time; called in every turn of the station."""
        self._standby.check(now_ns)
        if self._machine.phase == "draining" and self._flow.drained:
            self._do(self._machine.drained())
        if self._machine.phase == "restoring" and now_ns > self._restore_due_ns:
            self._do(self._machine.give_up())

    # What happens meanwhile

    def _on_loaded(self, ready: EngineReady) -> None:
        error = self._inspector.misfit(ready, self._plan.setup)
        if error is not None:
            self._fail(error)
            return
        self._ready = ready
        self._attendance.warn(ready.refused)
        self._do(self._machine.verified())

    def _on_lost(self, text: str) -> None:
        if self._machine.phase == "recording":
            self._lost = text  # told once the disk is done, and is given the old record again
        else:
            self._fail(text)

    def _on_written(self, written: ActiveRecord, error: BaseException | None) -> None:
        lost, self._lost = self._lost, None
        if error is not None:
            self._fail(str(error))
        elif lost is not None:
            self._put_back(lost)
        else:
            self.record = written
            self._do(self._machine.recorded())

    def _put_back(self, lost: str) -> None:
        """The record of what goes on, on the disk again; only then is the changeover over."""
        record, next_start = self.record, f"; the next start would be with {self._plan.found.name}: "
        self._writer.write(
            lambda: restore_active(record, self._directory),
            lambda error: self._fail(lost if error is None else f"{lost}{next_start}{error}"),
        )

    def _on_camera(self, name: str, error: str | None) -> None:
        if error is None:
            self._do(self._machine.camera_ready(name))
        elif self._machine.phase == "settling":
            self._fail(error)

    def _fail(self, text: str) -> None:
        self._do(self._machine.fail(text))

    # What is to be done

    def _do(self, steps: Iterable[Step]) -> None:
        actions: dict[Action, Callable[[], None]] = {
            "start_standby": self._start_standby,
            "hold": self._hold,
            "set_cameras": self._set_cameras,
            "record": self._write_record,
            "switch": self._switch,
            "restore_cameras": self._restore_cameras,
            "drop_standby": self._standby.drop,
            "release": self._release,
        }
        for step in steps:
            if isinstance(step, Tell):
                self._tell(step)
            else:
                actions[step]()

    @property
    def _plan(self) -> Plan:
        assert self._next is not None
        return self._next

    def _start_standby(self) -> None:
        self._standby.start(self._plan.setup, time.monotonic_ns())

    def _hold(self) -> None:
        self._gate.hold(f"{self._plan.found.name} is about to become active")
        self._heartbeat.status_now()

    def _set_cameras(self) -> None:
        for name, camera in self._plan.cameras.items():
            if camera != self._before[name]:
                self._crew.set_camera(self._lines[name], camera)

    def _restore_cameras(self) -> None:
        self._restore_due_ns = time.monotonic_ns() + round(self._start_timeout_s * 1e9)
        for name, camera in self._before.items():
            if camera != self._plan.cameras[name]:
                self._crew.set_camera(self._lines[name], camera)

    def _write_record(self) -> None:
        """The disk first: after a crash the station starts with what it had changed to. No part waits."""
        assert self._ready is not None
        assert self._ready.recipe_sha256 is not None
        sha256, plan = self._ready.recipe_sha256, self._plan
        changed_utc = now_utc()
        written = next_record(
            self.record, plan.found, sha256, operator=self._operator, changed_utc=changed_utc
        )
        self._writer.write(
            lambda: save_active(written, self._directory), lambda error: self._on_written(written, error)
        )

    def _switch(self) -> None:
        assert self._ready is not None
        setup = msgspec.structs.replace(self._plan.setup, recipe_sha256=self._ready.recipe_sha256)
        self._standby.retire(self._inspector.replace(self._standby.take(), setup, self._ready))
        self._flow.deadline_ns = round(self._plan.deadline_ms * 1e6)
        self._active = self._plan

    def _release(self) -> None:
        self._gate.release()
        self._heartbeat.status_now()

    def _tell(self, said: Tell) -> None:
        found = self._plan.found
        change = RecipeChange(
            id=str(found.recipe.id),
            version=found.recipe.version,
            sha256=None if self._ready is None else self._ready.recipe_sha256,
            state=said.state,
            operator=self._operator,
        )
        text = f"{found.name}: {said.state.replace('_', ' ')}"
        if said.state in {"failed", "rolled_back"}:
            old = "engine.model of config.yaml" if self._active is None else self._active.found.name
            text += f", {old} goes on: {said.text}"
            self._outbox.event("recipe", "error", text, recipe=change)
        else:
            self._outbox.event("recipe", "info", text, recipe=change)
