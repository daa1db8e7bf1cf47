"""What drift charts say: on the wire, and to people. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from calibration.drift import REJECTS
from pipeline.messages import DriftChart, DriftNote

if TYPE_CHECKING:
    from calibration.camera_drift import CameraDrift, Warned
    from calibration.drift import Reading

_DO = {
    "score": "Look at parts and heatmaps since then; if they are good, calibrate again.",
    "brightness": "Check lamp, exposure and window.",
    "sharpness": "Check focus, lens and vibration.",
    "x_px": "Check guides, trigger and the camera's mounting.",
    "y_px": "Check guides, trigger and the camera's mounting.",
    REJECTS: "Look at the rejected parts: is it the parts, or the inspection?",
}


def drift_note(warned: Warned, *, since: str) -> DriftNote:
    """A warning as the wire has it; `since` is the result with which the drift began, as far as is known."""
    reading = warned.reading
    return DriftNote(
        chart=warned.chart,
        average=reading.average,
        usual=warned.usual,
        statistic=reading.statistic,
        limit=reading.limit,
        since_result_id=since,
        action=_DO[warned.chart],
    )


def warning_text(camera: str, note: DriftNote, *, hold: bool) -> str:
    """The warning in words."""
    held = "; every part is rejected until `hlgfa release`" if hold else ""
    return (
        f"camera {camera}: {note.chart} has drifted: average {note.average:.4g}, usual {note.usual:.4g} "
        f"(statistic {note.statistic:.2f}, limit {note.limit:.2f}), since about result "
        f"{note.since_result_id}{held}. {note.action}"
    )


def calibration_text(camera: str, apart: float) -> str:
    """That the line's good parts score otherwise than those of the calibration, by normal scores."""
    direction = "higher" if apart > 0 else "lower"
    return (
        f"camera {camera}: good parts score {direction} here than those of the calibration, by "
        f"{abs(apart):.1f} standard deviations: its false-reject rate does not hold here. Run: hlgfa "
        "calibrate --good with parts of this line."
    )


def chart_notes(camera: str, charts: CameraDrift) -> list[DriftChart]:
    """Every chart of a camera for the stats."""
    return [_chart_note(camera, chart, stand, charts.learned) for chart, stand in charts.readings.items()]


def _chart_note(
    camera: str, chart: str, stand: tuple[Reading, float] | None, learned: tuple[int, int]
) -> DriftChart:
    parts, needed = learned
    if stand is None:
        return DriftChart(camera=camera, chart=chart, state="learning", learned=parts, needed=needed)
    reading, usual = stand
    return DriftChart(
        camera=camera,
        chart=chart,
        state="drifting" if reading.drifting else "steady",
        learned=needed,
        needed=needed,
        average=reading.average,
        usual=usual,
        statistic=reading.statistic,
        limit=reading.limit,
    )
