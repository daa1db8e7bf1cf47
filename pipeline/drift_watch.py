"""Drift on the running line: every judged part to its camera's charts, what they say to whom it concerns."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

import msgspec

from calibration.camera_drift import Baselines, CameraDrift, Tolerances
from calibration.drift import SCORE
from calibration.drift_baseline import apart
from engines.records import now_utc
from pipeline.drift_store import Held, load_drift, save_drift, under_engine, with_baselines
from pipeline.drift_text import calibration_text, chart_notes, drift_note, warning_text
from pipeline.messages import Reason
from pipeline.requests import ReleaseHoldReply

if TYPE_CHECKING:
    from calibration.camera_drift import Warned
    from calibration.frame_measures import FrameMeasures
    from calibration.record import ScoreQuantiles
    from pipeline.config import Config
    from pipeline.disk_writer import DiskWriter
    from pipeline.drift_store import DriftRecord, Under
    from pipeline.internal import EngineReady
    from pipeline.judge import Judgement
    from pipeline.messages import DriftChart, DriftNote, EventKind, RecipeSummary, Severity
    from pipeline.requests import ReleaseHoldRequest


class Tell(Protocol):
    """Publishes an event: `Outbox.event`."""

    def __call__(
        self,
        kind: EventKind,
        severity: Severity,
        text: str,
        *,
        reason: Reason = ...,
        camera: str | None = ...,
        drift: DriftNote | None = ...,
    ) -> None:
        """Publish that something happened."""


class DriftWatch:
    """The charts of all cameras, and which cameras are held."""

    def __init__(self, config: Config, *, epoch: str, tell: Tell, writer: DiskWriter) -> None:
        """Read what earlier starts have left.

        Raises:
            ConfigError: that cannot be read.
        """
        self._station, self._settings = config.station, config.drift
        self._epoch, self._tell, self._writer = epoch, tell, writer
        self._good: ScoreQuantiles | None = None
        self._records = {camera.name: load_drift(config.station, camera.name) for camera in config.cameras}
        self._limits: dict[int, float] = {}
        self._charts = {name: self._make(record) for name, record in self._records.items()}
        self._left: dict[tuple[str, Under, str | None], CameraDrift] = {}

    def set_engine(self, engine: EngineReady, recipe: RecipeSummary) -> None:
        """Go on with what is known under this engine and recipe; what is not is learned."""
        self._good = engine.good_scores
        for camera, record in self._records.items():
            now = under_engine(record, engine, recipe)
            if now.steady == record.steady:
                continue  # the engine's process was started again
            self._left[_place(record)] = self._charts[camera]
            charts = self._left.pop(_place(now), None) or self._make(now)
            charts.restart()
            self._records[camera], self._charts[camera] = now, charts

    def veto(self, camera: str) -> tuple[Reason, str] | None:
        """Why no part of this camera may be accepted now, None if it may."""
        held = self._records[camera].held
        return None if held is None else (Reason.DRIFT_HOLD, f"held since {held.since_utc}: {held.chart}")

    def held(self, camera: str) -> bool:
        """Whether every part of this camera is rejected."""
        return self._records[camera].held is not None

    def note(self, judgement: Judgement, measures: FrameMeasures) -> None:
        """Take a judged part into its camera's charts; one that broke off the inspection says nothing."""
        prediction, camera = judgement.prediction, judgement.trigger.camera
        if prediction is None or not math.isfinite(prediction.score):
            return
        charts = self._charts[camera]
        learning = not charts.complete
        failed = prediction.score >= prediction.threshold
        for warned in charts.add(measures, prediction.score, failed=failed, part=judgement.trigger.ordinal):
            self._warn(camera, warned)
        if learning and charts.complete:
            self._learned(camera, charts)

    def release(self, request: ReleaseHoldRequest) -> ReleaseHoldReply:
        """Let a held camera's parts be accepted again, and begin its charts anew."""
        record = self._records.get(request.camera)
        if record is None:
            known = ", ".join(self._records)
            reason = f"found camera {request.camera!r}, expected one of: {known}"
            return ReleaseHoldReply(camera=request.camera, released=False, reason=reason)
        freed = msgspec.structs.replace(record, held=None)
        self._keep(with_baselines(freed, Baselines()) if request.new_baseline else freed)
        if request.new_baseline:
            self._charts[request.camera] = self._make(self._records[request.camera])
        else:
            self._charts[request.camera].restart()
        what = "released" if record.held is not None else "charts begun anew, it was not held"
        learning = "; the charts learn a new baseline" if request.new_baseline else ""
        text = f"camera {request.camera}: {what} by {request.operator}{learning}"
        self._tell("drift", "info", text, camera=request.camera)
        return ReleaseHoldReply(camera=request.camera, released=record.held is not None)

    def charts(self) -> list[DriftChart]:
        """Every chart as it stands."""
        return [note for camera, charts in self._charts.items() for note in chart_notes(camera, charts)]

    def _warn(self, camera: str, warned: Warned) -> None:
        note = drift_note(warned, since=f"{self._epoch}-{warned.reading.since}")
        hold = self._settings.on_drift == "hold"
        text = warning_text(camera, note, hold=hold)
        record = self._records[camera]
        if hold and record.held is None:
            held = Held(since_utc=now_utc(), chart=warned.chart, text=text)
            self._keep(msgspec.structs.replace(record, held=held))
        reason = Reason.DRIFT_HOLD if hold else Reason.OK
        self._tell("drift", "warning", text, reason=reason, camera=camera, drift=note)

    def _learned(self, camera: str, charts: CameraDrift) -> None:
        baselines = charts.baselines
        self._keep(with_baselines(self._records[camera], baselines))
        parts = baselines.levels[SCORE].parts
        text = f"camera {camera}: the drift charts know a steady line, from {parts} good parts"
        self._tell("drift", "info", text, camera=camera)
        for doubt in charts.doubts:
            text = f"camera {camera}: {doubt}; false alarms may be more frequent than stated"
            self._tell("drift", "warning", f"{text}. Raise drift.baseline_parts.", camera=camera)
        off = None if self._good is None else apart(self._good, baselines.levels[SCORE])
        if off is not None:
            text = calibration_text(camera, off)
            self._tell("drift", "warning", text, camera=camera)

    def _make(self, record: DriftRecord) -> CameraDrift:
        settings = self._settings
        return CameraDrift(
            record.steady.baselines,
            baseline_parts=settings.baseline_parts,
            false_alarm_parts=settings.false_alarm_parts,
            tolerances=Tolerances(
                settings.brightness_percent / 100, settings.sharpness_percent / 100, settings.position_px
            ),
            limits=self._limits,
        )

    def _keep(self, record: DriftRecord) -> None:
        """Keep it for the next start, too; the line goes on beside the disk, and if that refuses.

        Until it is written a loss of power leaves the record before it: a hold may have to be found again,
        one that was released is held once more.
        """
        self._records[record.camera] = record

        def heard(error: BaseException | None) -> None:
            if error is not None:
                text = f"camera {record.camera}: baselines and hold are not kept ({error})"
                self._tell("fault", "error", f"{text}: a restart forgets them.", camera=record.camera)

        self._writer.write(lambda: save_drift(self._station, record), heard)


def _place(record: DriftRecord) -> tuple[str, Under, str | None]:
    """Where charts wait for their recipe to come again; those that had still to learn go on then."""
    return record.camera, record.steady.under, record.steady.calibration_sha256
