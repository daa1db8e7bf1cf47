"""The inspection process in force: started, heard, replaced when it dies, or by one that stood by."""

from __future__ import annotations

from time import monotonic_ns
from typing import TYPE_CHECKING

from pipeline.attendance import StationError
from pipeline.frame import CHANNELS
from pipeline.headers import recipe_summary
from pipeline.internal import (
    EngineReady,
    Inspected,
    InspectionFailed,
    InspectionStart,
    ProtocolError,
    RecipeText,
    StartFailed,
    Stop,
    StubSpec,
    decode_from_inspection,
)
from pipeline.judge import Basis
from pipeline.messages import Reason
from pipeline.preflight import size_mismatch
from pipeline.recipes.active_record import changed_error

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.attendance import Attendance
    from pipeline.camera_line import CameraLine
    from pipeline.child import Child
    from pipeline.config import Config
    from pipeline.inspection_line import InspectionLine
    from pipeline.outbox import Outbox
    from pipeline.recipes.gate import RecipeGate
    from pipeline.recipes.plan import Setup


class Inspector:
    """Owns the process of `inspection.child`, and says to gate and outbox what parts are judged by."""

    def __init__(
        self,
        config: Config,
        setup: Setup,
        *,
        lines: Mapping[str, CameraLine],
        inspection: InspectionLine,
        gate: RecipeGate,
        outbox: Outbox,
        attendance: Attendance,
        stub_engine_ms: float | None,
    ) -> None:
        self.setup = setup
        self._config = config
        self._lines = lines
        self._inspection = inspection
        self._gate = gate
        self._outbox = outbox
        self._attendance = attendance
        self._stub_engine_ms = stub_engine_ms
        gate.number = setup.number

    @property
    def child(self) -> Child:
        """The process in force."""
        return self._inspection.child

    def start(self, now_ns: int) -> None:
        """Start it."""
        self.start_child(self.child, self.setup, now_ns, standby=False)
        self._attendance.attend(self.child, self._hear, self.lose)

    def start_child(self, child: Child, setup: Setup, now_ns: int, *, standby: bool) -> None:
        """Start a process with a setup; a `standby` loads beside the one in force."""
        rings = [line.ring_spec() for line in self._lines.values()]
        recipe = setup.recipe
        start = InspectionStart(
            endpoint=child.endpoint,
            engine=setup.engine,
            rings=rings,
            codec=self._config.heatmap.codec,
            realtime=self._config.realtime,
            stub=self._stub(),
            changes=setup.changes,
            recipe=None if recipe is None else RecipeText(path=recipe.path, sha256=recipe.text_sha256),
            standby=standby,
        )
        child.start(start, fds=tuple(spec.fd for spec in rings), now_ns=now_ns)

    def check(self, now_ns: int, *, silence_ns: int, start_ns: int) -> None:
        """Bury it if it has fallen silent, restart it if its back-off is over."""
        if self.child.overdue(now_ns, silence_ns=silence_ns, start_ns=start_ns):
            self.lose(now_ns, "has fallen silent")
        elif self.child.restart_due(now_ns):
            self.start(now_ns)

    def lose(self, now_ns: int, why: str) -> None:
        """It is gone."""
        child = self.child
        text = self._attendance.bury(child, now_ns, why, self._hear)
        self._inspection.on_lost(text)
        self._attendance.announce(child, "fault", text, Reason.ENGINE_ERROR)

    def replace(self, child: Child, setup: Setup, ready: EngineReady) -> Child:
        """Put a loaded process in the place of the one in force, which is told to end and returned.

        No part may be open.
        """
        last = self.child
        self._attendance.forget(last)
        self._outbox.fault(last.name, None)
        last.send(Stop())
        self._inspection.child = child
        self.setup = setup
        self._attendance.forget(child)
        self._attendance.attend(child, self._hear, self.lose)
        self._take_over(ready)
        self._gate.switch(setup.number, monotonic_ns())
        return last

    def misfit(self, ready: EngineReady, setup: Setup) -> str | None:
        """Why a loaded engine cannot be used with these cameras and this recipe, None if it can."""
        info = ready.info
        for line in self._lines.values():
            error = size_mismatch(
                line.config,
                model=info.model_id,
                width_px=info.width_px,
                height_px=info.height_px,
                channels=info.channels,
            )
            if error is not None:
                return error
        if setup.recipe is None or setup.recipe_sha256 is None:
            return None
        return changed_error(setup.recipe, sha256=ready.recipe_sha256 or "", expected=setup.recipe_sha256)

    def _take_over(self, ready: EngineReady) -> None:
        self._gate.basis = Basis(self.setup.changes, ready.info.model_sha256)
        self._outbox.set_engine(ready, recipe_summary(ready, self.setup.recipe))

    def _hear(self) -> None:
        for parts in self.child.receive(monotonic_ns()):
            message = decode_from_inspection(parts[0])
            if isinstance(message, Inspected):
                self._inspection.on_inspected(message, parts[1] if len(parts) > 1 else None)
            elif isinstance(message, InspectionFailed):
                self._inspection.on_failed(message)
            elif isinstance(message, EngineReady):
                self._on_ready(message)
            elif isinstance(message, StartFailed):
                self._attendance.last_words(self.child, message)

    def _on_ready(self, message: EngineReady) -> None:
        error = self.misfit(message, self.setup)
        if error is not None:  # the files were exchanged under a running station: keep it, not them
            raise ProtocolError(error) if self._attendance.started else StationError(error)
        self._take_over(message)
        info = message.info
        self._attendance.ready(
            self.child, "model", f"{info.model_id} is ready on {info.runtime}, {info.device}"
        )
        self._attendance.warn(message.refused)

    def _stub(self) -> StubSpec | None:
        if self._stub_engine_ms is None:
            return None
        camera = next(iter(self._lines.values())).config
        return StubSpec(
            height_px=camera.height_px,
            width_px=camera.width_px,
            channels=CHANNELS[camera.pixel_format],
            wait_ms=self._stub_engine_ms,
        )
