"""`hlgfa calibrate --review`: a threshold from operators' marks, and what it would have changed."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import typer

from calibration.calibrated import save_calibrated
from calibration.marks import read_marks
from calibration.record import FILE_NAME, CalibrationError, Review, load_calibration
from calibration.review import effect, propose, reviewed, sort_marks
from engines.records import now_utc
from pipeline.history.journal_audit import read_judged

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from calibration.record import Calibration
    from calibration.review import Effect, Marked
    from calibration.roi import InspectedArea

_SHOWN = 10
_BINS = 24
_BAR = 40


class ReviewOptions(NamedTuple):
    """What was asked for: marks, journal of past scores, picture, and whether and by whom it is applied."""

    marks: Path
    journal: Path
    accepted_misses: int
    png: Path | None
    apply: bool
    operator: str | None


def review(
    model: Path,
    good: NDArray[np.float64],
    area: InspectedArea | None,
    model_sha256: str,
    asked: ReviewOptions,
) -> None:
    """Propose, show, and with `apply` write calibration.json.

    Args:
        model: its folder.
        good: (n,) scores of good parts that training did not see, under the region of interest.
        area: region of interest, None for the whole image.
        model_sha256: hash of the model.
        asked: the options of the command.

    Raises:
        CalibrationError: marks or calibration cannot be used, or nobody is named who applies it.
        JournalError: the journal cannot be read.
    """
    if asked.apply and not asked.operator:
        raise CalibrationError("--apply: found no --operator, expected who answers for the threshold.")
    calibration = load_calibration(
        model / FILE_NAME, model_sha256=model_sha256, roi_sha256=None if area is None else area.sha256
    )
    marked = _read(asked.marks, model_sha256)
    past, damage = read_judged(asked.journal, model_sha256)
    if damage:
        typer.echo(f"warning: {damage} damaged lines of the journal are left out.", err=True)
    proposal = propose(
        marked,
        good,
        old=calibration.threshold,
        rate=calibration.false_reject_rate,
        accepted_misses=asked.accepted_misses,
    )
    before = effect(calibration.threshold, marked, good, past)
    after = effect(proposal.value, marked, good, past)
    _show(before, after, marked, past)
    if asked.png is not None:
        _draw(asked.png, before, after, marked, past)
    for warning in proposal.warnings:
        typer.echo(f"warning: {warning}", err=True)
    if not asked.apply:
        typer.echo("Nothing is written. To take it over: --apply --operator NAME")
        return
    record = _provenance(asked, marked, calibration)
    save_calibrated(model, area, reviewed(calibration, after, good, record))
    typer.echo(f"{model / FILE_NAME}: threshold {after.threshold:.4f}; a station loads it at its next start.")


def _read(path: Path, model_sha256: str) -> Marked:
    """The marks of this model's results.

    Raises:
        CalibrationError: there is no file, it cannot be read, or no mark is of this model.
    """
    if not path.exists():
        raise CalibrationError(f"{path}: not found, expected marks of the review page (marks.jsonl).")
    if not path.read_bytes().endswith(b"\n"):
        typer.echo(f"warning: {path}: the last line has no end and is passed over.", err=True)
    marks = read_marks(path)
    marked = sort_marks(marks.values(), model_sha256)
    for text in marked.left_out[:_SHOWN]:
        typer.echo(f"left out: {text}", err=True)
    if len(marked.left_out) > _SHOWN:
        typer.echo(f"left out: {len(marked.left_out) - _SHOWN} more", err=True)
    if marks and len(marked.left_out) == len(marks):
        raise CalibrationError(
            f"{path}: found {len(marks)} marks, none of them of a score of model {model_sha256[:12]}. "
            "Name the model that judged these parts."
        )
    return marked


def _provenance(asked: ReviewOptions, marked: Marked, calibration: Calibration) -> Review:
    assert asked.operator is not None
    return Review(
        operator=asked.operator,
        applied_utc=now_utc(),
        marks_sha256=hashlib.sha256(asked.marks.read_bytes()).hexdigest(),
        bad=len(marked.bad),
        false_rejects=len(marked.false_rejects),
        accepted_misses=asked.accepted_misses,
        old_threshold=calibration.threshold,
    )


def _show(before: Effect, after: Effect, marked: Marked, past: NDArray[np.float64]) -> None:
    typer.echo(f"threshold {before.threshold:.4f} -> {after.threshold:.4f}")
    for name, old, new in (
        ("false rejects of good parts", _rate(before), _rate(after)),
        ("marked false reject, still rejected", *_both(before, after, "false_rejects_left")),
        ("marked really bad, missed", *_both(before, after, "bad_missed")),
        ("past parts rejected", *_both(before, after, "past_rejected")),
    ):
        typer.echo(f"  {name:37} {old:>30} -> {new}")
    typer.echo(
        f"  of {len(marked.bad)} marked bad, {len(marked.false_rejects)} marked false reject, {len(past)} "
        "past parts; bad parts like those marked score below the lowest of them in at most "
        f"{after.miss_bound:.1%} (95 % confidence)"
    )
    edges = _edges(marked, past, after)
    rows = [np.histogram(scores, edges)[0] for scores in (past, marked.false_rejects, marked.bad)]
    most = max(1, int(rows[0].max()))
    typer.echo(f"  {'score':>9}  past parts, on a scale of logarithms;  f false reject, b really bad")
    for left, right, past_n, false_n, bad_n in zip(edges[:-1], edges[1:], *rows, strict=True):
        bar = "#" * round(_BAR * np.log1p(past_n) / np.log1p(most))
        marks = "".join(f" {letter}{n}" for letter, n in (("f", false_n), ("b", bad_n)) if n)
        lines = "".join(
            f"  <- {name} threshold"
            for name, value in (("old", before.threshold), ("new", after.threshold))
            if left <= value < right
        )
        typer.echo(f"  {left:9.3f}  {bar}{marks}{lines}")


def _draw(path: Path, before: Effect, after: Effect, marked: Marked, past: NDArray[np.float64]) -> None:
    from tools.plot import BLUE, GREEN, GREY, RED, Chart, Span, save_charts

    edges = _edges(marked, past, after)
    axis = Span(float(edges[0]), float(edges[-1]))
    charts = []
    for title, scores, colour in (
        ("scores of past parts, logarithm of 1 + parts", past, GREY),
        ("marked false reject", marked.false_rejects, GREEN),
        ("marked really bad", marked.bad, RED),
    ):
        heights = np.log10(1 + np.histogram(scores, edges)[0])
        chart = Chart(title, axis, Span(0.0, max(1.0, float(heights.max()))), height_px=170)
        chart.bars(edges.tolist(), heights.tolist(), colour)
        chart.mark(before.threshold, "old", GREY)
        chart.mark(after.threshold, "new", BLUE, row=1)
        charts.append(chart)
    save_charts(path, charts)


def _edges(marked: Marked, past: NDArray[np.float64], after: Effect) -> NDArray[np.float64]:
    everything = np.concatenate([past, marked.bad, marked.false_rejects, [0.0, after.threshold]])
    low, high = float(everything.min()), float(everything.max()) * 1.001
    return np.linspace(low, high, _BINS + 1, dtype=np.float64)


def _rate(found: Effect) -> str:
    share = found.good_rejected / found.good
    return f"{share:.2%} ({found.lower:.2%} .. {found.upper:.2%})"


def _both(before: Effect, after: Effect, name: str) -> tuple[str, str]:
    return str(getattr(before, name)), str(getattr(after, name))
