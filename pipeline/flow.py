"""From triggers and frames to judgements: what happens to every part, in the order in which it happens.

Wiring of the ledger (which decides), the queue (who is next), the camera lines and the engine's process.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pipeline.camera_line import Announcement
from pipeline.dispatch import InspectionQueue, Waiting
from pipeline.internal import Inspect, Shoot
from pipeline.judge import Amendment, Prediction, Trigger
from pipeline.messages import Reason

if TYPE_CHECKING:
    from pipeline.camera_line import CameraLine
    from pipeline.child import Child
    from pipeline.config import StationConfig
    from pipeline.history.history_line import HistoryLine
    from pipeline.internal import FrameReady, Inspected, InspectionFailed, NoFrame
    from pipeline.judge import TriggerLedger
    from pipeline.messages import TriggerSource
    from pipeline.outbox import Outbox
    from pipeline.requests import TriggerRequest


class Flow:
    """Every trigger of a station on its way to its one result. New ones are taken while `accepting`."""

    def __init__(
        self,
        config: StationConfig,
        *,
        lines: dict[str, CameraLine],
        inspection: Child,
        outbox: Outbox,
        ledger: TriggerLedger,
        history: HistoryLine,
        stop_after: int | None,
    ) -> None:
        self._deadline_ns = round(config.deadline_ms * 1e6)
        self._lines = lines
        self._inspection = inspection
        self._outbox = outbox
        self._history = history
        self._stop_after = stop_after
        self._queue = InspectionQueue()
        self._ordinal = 0
        self._open = False
        self.ledger = ledger

    @property
    def accepting(self) -> bool:
        """Whether new triggers are taken."""
        return self._open and not self.complete

    @accepting.setter
    def accepting(self, value: bool) -> None:
        self._open = value

    @property
    def complete(self) -> bool:
        """Whether the number of triggers that was asked for has come."""
        return self._stop_after is not None and self._ordinal >= self._stop_after

    @property
    def depth(self) -> int:
        """Frames that wait for the engine or are at it."""
        return len(self._queue) + (self._queue.in_flight is not None)

    @property
    def idle(self) -> bool:
        """Whether everything that came has its result."""
        held = self.accepting and any(line.newest is not None for line in self._lines.values())
        return not held and not self.ledger.pending()

    # Triggers

    def open_trigger(self, line: CameraLine, *, source: TriggerSource, triggered_ns: int) -> int | None:
        """Enter a trigger of the station's own, or of the camera's; None if that already decided it."""
        self._ordinal += 1
        trigger = Trigger(
            ordinal=self._ordinal,
            camera=line.name,
            trigger_id=line.next_trigger_id(),
            source=source,
            triggered_ns=triggered_ns,
            deadline_ns=triggered_ns + self._deadline_ns,
        )
        judgement = self.ledger.open(trigger, time.monotonic_ns())
        if judgement is not None:
            self._outbox.conclude(judgement)
            return None
        return trigger.ordinal

    def _requested(self, line: CameraLine, request: TriggerRequest, now_ns: int) -> Trigger:
        """A trigger that was asked for from outside."""
        self._ordinal += 1
        return Trigger(
            ordinal=self._ordinal,
            camera=line.name,
            trigger_id=request.trigger_id,
            source="plc",
            triggered_ns=now_ns,
            deadline_ns=now_ns + self._deadline_ns,
            part_id=request.part_id,
            job_id=request.job_id,
        )

    def open_requested(self, lines: list[CameraLine], request: TriggerRequest) -> None:
        """Enter a trigger from outside for each camera that sees its part, and get their frames."""
        now_ns = time.monotonic_ns()
        triggers = [self._requested(line, request, now_ns) for line in lines]
        if len(triggers) > 1:
            self._outbox.parts.open([trigger.ordinal for trigger in triggers])
        judgements = [self.ledger.open(trigger, now_ns) for trigger in triggers]
        for line, trigger, judgement in zip(lines, triggers, judgements, strict=True):
            if judgement is None:
                self.ask(line, trigger.ordinal, now_ns)
            else:
                self._outbox.conclude(judgement)

    def ask(self, line: CameraLine, ordinal: int, now_ns: int) -> None:
        """Get the frame of an open trigger that came from outside: ask the camera, or wait for its line."""
        if line.config.trigger.source == "software":
            self.shoot(line, ordinal)
        else:
            self.announce(line, ordinal, now_ns)

    def reject(self, ordinal: int, reason: Reason, text: str) -> None:
        """Reject a trigger and publish that; nothing happens if it is decided already."""
        judgement = self.ledger.reject(ordinal, reason, text, time.monotonic_ns())
        if judgement is not None:
            self._outbox.conclude(judgement)

    def shoot(self, line: CameraLine, ordinal: int) -> None:
        """Ask the camera for the frame of an open trigger, or say why that cannot be."""
        if line.child.state != "ready":
            self.reject(ordinal, Reason.CAMERA_LOST, f"camera {line.name} is {line.state}")
        elif self._inspection.state != "ready":
            self.reject(ordinal, Reason.ENGINE_ERROR, f"the engine is {self._inspection.state}")
        elif line.shooting is not None:
            self.reject(ordinal, Reason.TRIGGER_WHILE_BUSY, "the camera still owes the frame before")
        else:
            line.shooting = ordinal
            line.child.send(Shoot(ordinal=ordinal))

    def announce(self, line: CameraLine, ordinal: int, now_ns: int) -> None:
        """Note an open trigger as the part that the camera's next frame is of."""
        window_ms = line.config.trigger.announce_window_ms
        assert window_ms is not None
        if line.child.state != "ready":
            self.reject(ordinal, Reason.CAMERA_LOST, f"camera {line.name} is {line.state}")
        elif line.awaits_announced(now_ns):
            self.reject(
                ordinal, Reason.TRIGGER_WHILE_BUSY, "the frame of the part announced before is awaited"
            )
        else:
            line.announced = Announcement(ordinal, now_ns + round(window_ms * 1e6))

    def shoot_due(self, now_ns: int) -> None:
        """Start the station's own triggers whose time has come; a missed period is not made up for."""
        for line in self._lines.values():
            if line.ended or not line.shot_due(now_ns) or not self.accepting:
                continue
            ordinal = self.open_trigger(line, source="software", triggered_ns=time.monotonic_ns())
            if ordinal is not None:
                self.shoot(line, ordinal)

    def expire(self, now_ns: int) -> None:
        """Reject what was not decided before its deadline, and announced parts whose frame has not come."""
        for line in self._lines.values():
            if line.announced is not None and now_ns > line.announced.until_ns:
                self.reject(line.announced.ordinal, Reason.NO_FRAME, "no frame of the announced part")
                line.announced = None
        for judgement in self.ledger.expire(now_ns):
            self._outbox.conclude(judgement)

    # Frames

    def on_frame(self, line: CameraLine, message: FrameReady) -> None:
        """A frame has come, for a trigger of ours or by itself."""
        if message.slot is not None:
            line.slots.take(message.slot)
        if message.ordinal is not None:
            line.shooting = None
            self._enqueue(line, message, message.ordinal)
        elif not self.accepting:
            line.give_back(message.slot)
        elif line.source == "freerun":
            line.keep_newest(message)
        else:
            for _ in range(line.missed_before(message.header)):
                self._answer_missed(line, message)
            self._inspect_by_itself(line, message)
        alarm = line.clock_alarm(message.header)
        if alarm is not None:
            self._outbox.event("camera", "warning", alarm)

    def on_no_frame(self, line: CameraLine, message: NoFrame) -> None:
        """The camera did not answer a trigger."""
        line.shooting = None
        self.reject(message.ordinal, Reason.NO_FRAME, "the camera gave no frame")

    def _answer_missed(self, line: CameraLine, message: FrameReady) -> None:
        ordinal = self._ordinal_of(line, message)
        if ordinal is not None:
            self.reject(ordinal, Reason.NO_FRAME, "the camera counted a part and gave no frame")

    def _inspect_by_itself(self, line: CameraLine, message: FrameReady) -> None:
        """Inspect a frame that nobody asked the camera for."""
        ordinal = self._ordinal_of(line, message)
        if ordinal is None:
            line.give_back(message.slot)
        else:
            self._enqueue(line, message, ordinal)

    def _ordinal_of(self, line: CameraLine, message: FrameReady) -> int | None:
        """The part that was announced, or a trigger that is opened for this frame."""
        announced = line.take_announced(time.monotonic_ns())
        if announced is not None:
            return announced
        return self.open_trigger(line, source=line.source, triggered_ns=message.header.exposed_ns)

    def _enqueue(self, line: CameraLine, message: FrameReady, ordinal: int) -> None:
        """Queue a trigger's frame for the engine, or reject the trigger with the reason why not."""
        header, slot = message.header, message.slot
        if not self.ledger.frame(ordinal, header):
            line.give_back(slot)  # the trigger's deadline came first
            return
        wrong_format = line.format_error(header)
        if not header.complete:
            self.reject(ordinal, Reason.INCOMPLETE_FRAME, "the frame is incomplete or unreadable")
        elif wrong_format is not None:
            self.reject(ordinal, Reason.FRAME_FORMAT, wrong_format)
        elif slot is None:
            self.reject(ordinal, Reason.OVERRUN, "all slots of the ring are in use")
        elif self._inspection.state != "ready":
            self.reject(ordinal, Reason.ENGINE_ERROR, f"the engine is {self._inspection.state}")
        else:
            self._queue.put(Waiting(ordinal=ordinal, camera=line.name, slot=slot, header=header))
            return
        if slot is not None:
            self._let_go(Waiting(ordinal=ordinal, camera=line.name, slot=slot, header=header))

    def _let_go(self, item: Waiting) -> None:
        """Give a frame's slot back, or to the historian first if the frame is to be kept."""
        published = self._outbox.published(item.ordinal)
        kept = (
            published is not None
            and self._history.wants(published.result.disposition, item.ordinal)
            and self._history.keep(published, item.header, item.slot)
        )
        if not kept:
            self._lines[item.camera].give_back(item.slot)

    # Predictions

    def dispatch(self) -> None:
        """Give the engine its next frame, if it is idle; free-run cameras come after triggered ones."""
        if self._inspection.state != "ready" or self._queue.in_flight is not None:
            return
        if len(self._queue) == 0:
            self._take_newest()
        while (item := self._queue.next()) is not None:
            if self.ledger.is_open(item.ordinal):
                self._inspection.send(Inspect(ordinal=item.ordinal, slot=item.slot, header=item.header))
                return
            self._queue.done(item.ordinal)  # too late already: do not make the next ones late, too
            self._let_go(item)

    def _take_newest(self) -> None:
        for line in self._lines.values():
            newest, line.newest = line.newest, None
            if newest is None:
                continue
            if line.too_old(newest.header, time.monotonic_ns()):
                line.skipped_here += 1
                line.give_back(newest.slot)
            elif self.accepting:
                self._inspect_by_itself(line, newest)
            else:
                line.give_back(newest.slot)

    def on_inspected(self, message: Inspected, payload: bytes | None) -> None:
        """The engine has answered."""
        item = self._queue.done(message.ordinal)
        prediction = Prediction(
            score=message.score,
            threshold=self._outbox.threshold,
            regions=message.regions,
            infer_start_ns=message.infer_start_ns,
            infer_end_ns=message.infer_end_ns,
        )
        veto = self._outbox.veto(item.header)
        decision = self.ledger.predict(message.ordinal, prediction, time.monotonic_ns(), veto=veto)
        if isinstance(decision, Amendment):
            self._outbox.amend(decision)
        elif decision is not None:
            heatmap = None
            if message.heatmap is not None and payload is not None:
                heatmap = (message.heatmap, payload)
            self._outbox.conclude(decision, heatmap)
            self._outbox.note_drift(decision, message.measures)
        self._let_go(item)

    def on_inspection_failed(self, message: InspectionFailed) -> None:
        """The engine failed on one frame."""
        item = self._queue.done(message.ordinal)
        self.reject(message.ordinal, Reason.ENGINE_ERROR, message.text)
        self._let_go(item)

    # Losses

    def on_camera_lost(self, line: CameraLine, text: str) -> None:
        """The capture process is gone: what still awaited a frame will get none."""
        line.forget_device()
        for ordinal in self.ledger.awaiting_frame(line.name):
            self.reject(ordinal, Reason.CAMERA_LOST, text)

    def on_engine_lost(self, text: str) -> None:
        """The inspection process is gone: what was queued for it is rejected."""
        for item in self._queue.clear():
            self.reject(item.ordinal, Reason.ENGINE_ERROR, text)
            self._let_go(item)
