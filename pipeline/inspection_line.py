"""The inspection process as the parts see it: frames to it one at a time, predictions back to the judge."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pipeline.dispatch import InspectionQueue, Waiting
from pipeline.internal import Inspect
from pipeline.judge import Amendment, Basis, Prediction
from pipeline.messages import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.camera_line import CameraLine
    from pipeline.child import Child
    from pipeline.history.history_line import HistoryLine
    from pipeline.internal import Inspected, InspectionFailed
    from pipeline.judge import TriggerLedger
    from pipeline.outbox import Outbox


class InspectionLine:
    """Frames of open triggers on their way through the engine. `child` is the process that has it now."""

    def __init__(
        self,
        child: Child,
        *,
        lines: Mapping[str, CameraLine],
        ledger: TriggerLedger,
        outbox: Outbox,
        history: HistoryLine,
    ) -> None:
        self.child = child
        self._lines = lines
        self._ledger = ledger
        self._outbox = outbox
        self._history = history
        self._queue = InspectionQueue()

    @property
    def depth(self) -> int:
        """Frames that wait for the engine or are at it."""
        return len(self._queue) + (self._queue.in_flight is not None)

    @property
    def hungry(self) -> bool:
        """Whether the engine would take a frame now and none waits."""
        return self.child.state == "ready" and self.depth == 0

    def put(self, item: Waiting) -> None:
        """Queue the frame of an open trigger; without an engine the trigger is rejected."""
        if self.child.state == "ready":
            self._queue.put(item)
        else:
            self.reject(item.ordinal, Reason.ENGINE_ERROR, f"the engine is {self.child.state}")
            self.let_go(item)

    def reject(self, ordinal: int, reason: Reason, text: str) -> None:
        """Reject a trigger and publish that; nothing happens if it is decided already."""
        judgement = self._ledger.reject(ordinal, reason, text, time.monotonic_ns())
        if judgement is not None:
            self._outbox.conclude(judgement)

    def let_go(self, item: Waiting) -> None:
        """Give a frame's slot back, or to the historian first if the frame is to be kept or shown."""
        published = self._outbox.published(item.ordinal)
        kept = False
        if published is not None:
            disposition = published.result.disposition
            uses = self._history.uses(item.camera, disposition, item.ordinal, time.monotonic_ns())
            kept = bool(uses) and self._history.keep(published, item.header, item.slot, uses)
        if not kept:
            self._lines[item.camera].give_back(item.slot)

    def dispatch(self) -> None:
        """Give the engine its next frame, if it is idle."""
        if self.child.state != "ready":
            return
        while (item := self._queue.next()) is not None:
            if self._ledger.is_open(item.ordinal):
                self.child.send(Inspect(ordinal=item.ordinal, slot=item.slot, header=item.header))
                return
            self._queue.done(item.ordinal)  # too late already: do not make the next ones late, too
            self.let_go(item)

    def on_inspected(self, message: Inspected, payload: bytes | None) -> None:
        """The engine has answered."""
        item = self._queue.done(message.ordinal)
        prediction = Prediction(
            score=message.score,
            threshold=self._outbox.threshold,
            regions=message.regions,
            infer_start_ns=message.infer_start_ns,
            infer_end_ns=message.infer_end_ns,
            basis=Basis(message.changes, message.model_sha256),
        )
        veto = self._outbox.veto(item.header)
        decision = self._ledger.predict(message.ordinal, prediction, time.monotonic_ns(), veto=veto)
        if isinstance(decision, Amendment):
            self._outbox.amend(decision)
        elif decision is not None:
            heatmap = None
            if message.heatmap is not None and payload is not None:
                heatmap = (message.heatmap, payload)
            self._outbox.conclude(decision, heatmap)
            self._outbox.drift.note(decision, message.measures)
        self.let_go(item)

    def on_failed(self, message: InspectionFailed) -> None:
        """The engine failed on one frame."""
        item = self._queue.done(message.ordinal)
        self.reject(message.ordinal, Reason.ENGINE_ERROR, message.text)
        self.let_go(item)

    def on_lost(self, text: str) -> None:
        """The inspection process is gone: what was queued for it is rejected."""
        for item in self._queue.clear():
            self.reject(item.ordinal, Reason.ENGINE_ERROR, text)
            self.let_go(item)
