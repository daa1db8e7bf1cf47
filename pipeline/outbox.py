"""What leaves the station of parts and events: into the journal and onto its topic."""

from __future__ import annotations

import contextlib
import logging
import math
import time
from typing import TYPE_CHECKING

from pipeline.drift_watch import DriftWatch
from pipeline.headers import amend_header, heatmap_header, part_header, result_header, reviewed
from pipeline.history.journal_files import JournalError
from pipeline.history.recent import Published, Recent
from pipeline.messages import EventHeader, HeatmapNote, ImageHeader, ModelSummary, Reason, StreamRef
from pipeline.parts import PartLedger
from pipeline.timing import LatencyRecorder

if TYPE_CHECKING:
    from pipeline.config import Config
    from pipeline.disk_writer import DiskWriter
    from pipeline.frame import FrameHeader
    from pipeline.history.history_line import HistoryLine
    from pipeline.history.journal import Journal
    from pipeline.internal import EngineReady, PackedHeatmap, Pictured
    from pipeline.judge import Amendment, Judgement, Trigger, TriggerLedger
    from pipeline.messages import (
        AmendHeader,
        DriftNote,
        EventKind,
        PartHeader,
        RecipeChange,
        RecipeSummary,
        ResultHeader,
        Severity,
    )
    from pipeline.publisher import Publisher

RECENT_KEPT = 4096
_LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_log = logging.getLogger(__name__)


class Outbox:
    """Journal first, then the topic: a result that was published is on record.

    If the journal fails, an accept that it cannot prove becomes a reject.
    """

    def __init__(
        self,
        config: Config,
        *,
        ledger: TriggerLedger,
        journal: Journal,
        publisher: Publisher,
        history: HistoryLine,
        writer: DiskWriter,
    ) -> None:
        self._config = config
        self._ledger = ledger
        self._journal = journal
        self._publisher = publisher
        self._history = history
        self._epoch = journal.epoch
        self.recent = Recent()
        self._engine: EngineReady | None = None
        self._model: ModelSummary | None = None
        self.recipe: RecipeSummary | None = None
        self.faults: dict[str, str] = {}
        self.parts = PartLedger()
        self.latencies = LatencyRecorder()
        self.recent_latencies = LatencyRecorder(RECENT_KEPT)
        self.drift = DriftWatch(config, epoch=journal.epoch, tell=self.event, writer=writer)

    @property
    def threshold(self) -> float:
        """Threshold of the active model; NaN, under which nothing is accepted, without one."""
        return self._engine.threshold if self._engine else math.nan

    def set_engine(self, engine: EngineReady, recipe: RecipeSummary) -> None:
        """Take over what the engine's process says of its model and calibration; they are of this recipe."""
        info = engine.info
        self._engine = engine
        self.drift.set_engine(engine, recipe)
        if engine.review is not None:
            self.event("model", "info", reviewed(engine.review, engine.threshold))
        self._model = ModelSummary(
            id=info.model_id, sha256=info.model_sha256, engine=info.runtime, precision=info.precision
        )
        self.recipe = recipe

    def veto(self, frame: FrameHeader) -> tuple[Reason, str] | None:
        """Why this station may not accept this frame's part, whatever its score; None if it may."""
        if frame.simulated and self._config.station.live_output:
            return Reason.SIMULATED_ON_LIVE_OUTPUT, "a simulated frame on a live output"
        return self.drift.veto(frame.camera)

    def fault(self, source: str, text: str | None) -> None:
        """Set or, with None, clear a fault of the station; faults show in the status."""
        if text is None:
            self.faults.pop(source, None)
        else:
            self.faults[source] = text

    def conclude(self, judgement: Judgement, heatmap: tuple[PackedHeatmap, bytes] | None = None) -> None:
        """Record and publish a terminal result, and its heatmap if the policy wants it."""
        wanted = heatmap is not None and self._wants_heatmap(judgement)
        header = self._result(judgement, published=wanted)
        if not self._record(header) and judgement.disposition == "accept":
            text = "the journal cannot prove an accept"
            judgement = self._ledger.revoke(judgement, Reason.JOURNAL_FAILED, text)
            header = self._result(judgement, published=wanted)
        self._publisher.publish(header)
        published_ns = time.monotonic_ns()
        for recorder in (self.latencies, self.recent_latencies):
            recorder.add(judgement, published_ns)
        if wanted and heatmap is not None and self._engine is not None:
            common = self._publisher.stamp("heatmap", camera=judgement.trigger.camera)
            packed, payload = heatmap
            codec = self._config.heatmap.codec
            map_header = heatmap_header(
                common, packed, codec, result_id=header.result_id, engine=self._engine
            )
            self._publisher.publish_heatmap(map_header, payload)
            self.recent.add(Published(header, map_header, payload))
        else:
            self.recent.add(Published(header, None, None))
        self._conclude_part(judgement)

    def published(self, ordinal: int) -> Published | None:
        """What was published of a trigger; None if it has no result, or had it long ago."""
        return self.recent.find(f"{self._epoch}-{ordinal}")

    def _conclude_part(self, judgement: Judgement) -> None:
        """Publish a part's disposition after the last of its cameras' results."""
        part = self.parts.note(judgement)
        if part is not None:
            result_ids = [self._result_id(member.trigger) for member in part.members]
            common = self._publisher.stamp("part")
            now_ns = time.monotonic_ns()
            self._keep(part_header(common, part, result_ids=result_ids, now_ns=now_ns))

    def amend(self, amendment: Amendment) -> None:
        """Publish a late score."""
        common = self._publisher.stamp("amend", camera=amendment.trigger.camera)
        self._keep(amend_header(common, amendment, result_id=self._result_id(amendment.trigger)))

    def image(self, pictured: Pictured, jpeg: bytes) -> None:
        """Publish a small picture of a frame."""
        header = ImageHeader(
            **self._publisher.stamp("image", camera=pictured.camera),
            result_id=pictured.result_id,
            codec="jpeg",
            shape=pictured.shape,
            image_shape=pictured.image_shape,
        )
        self._publisher.publish_heatmap(header, jpeg)

    def event(
        self,
        kind: EventKind,
        severity: Severity,
        text: str,
        *,
        reason: Reason = Reason.OK,
        camera: str | None = None,
        recipe: RecipeChange | None = None,
        drift: DriftNote | None = None,
    ) -> None:
        """Publish and log that something happened."""
        fields = {"kind": kind, "reason_code": int(reason), "camera": camera}
        _log.log(_LEVELS[severity], "%s", text, extra=fields)
        common = self._publisher.stamp("event", event=kind, camera=camera)
        header = EventHeader(
            **common,
            kind=kind,
            severity=severity,
            code=int(reason),
            text=text,
            recipe=recipe,
            drift=drift,
        )
        self._keep(header)

    def tell_refusals(self, now_ns: int) -> None:
        """Announce what clients were refused, if something is due to be told."""
        for text in self._publisher.refusals.due(now_ns):
            self.event("security", "warning", text)

    def _result(self, judgement: Judgement, *, published: bool) -> ResultHeader:
        camera = judgement.trigger.camera
        reference = None
        if published:
            stamp = self._publisher.stamp("heatmap", camera=camera)
            reference = StreamRef(stream=stamp["stream"], seq=stamp["seq"])
        return result_header(
            self._publisher.stamp("result", camera=camera),
            judgement,
            result_id=self._result_id(judgement.trigger),
            now_ns=time.monotonic_ns(),
            model=self._model,
            recipe=self.recipe,
            threshold=self.threshold,
            heatmap=HeatmapNote(published=published, ref=reference),
        )

    def _result_id(self, trigger: Trigger) -> str:
        return f"{self._epoch}-{trigger.ordinal}"

    def _keep(self, header: PartHeader | AmendHeader | EventHeader) -> None:
        """Record and publish; what the journal does not take can be heard but not replayed."""
        with contextlib.suppress(JournalError):  # the next result says what is wrong with it
            self._journal.append(header)
        self._publisher.publish(header)

    def _record(self, header: ResultHeader) -> bool:
        try:
            self._journal.append(header)
        except JournalError as error:
            if "journal" not in self.faults:
                self.fault("journal", str(error))
                self.event("fault", "error", str(error), reason=Reason.JOURNAL_FAILED)
            return False
        if "journal" in self.faults:
            self.fault("journal", None)
            self.event("fault", "info", "the journal is written again")
        return True

    def _wants_heatmap(self, judgement: Judgement) -> bool:
        settings, ordinal = self._config.heatmap, judgement.trigger.ordinal
        if judgement.disposition == "reject" or self._history.wants(judgement.disposition, ordinal):
            return True
        return settings.policy == "all" or (
            settings.policy == "sampled" and ordinal % settings.sample_every == 0
        )
