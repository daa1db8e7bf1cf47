"""The words of `hlgfa watch`: pure functions from headers and notices to text."""

from __future__ import annotations

import math
from datetime import datetime
from typing import TYPE_CHECKING

from pipeline.messages import Reason
from pipeline.stream_check import EpochChange, Gap, Lost, Repeat, Stale

if TYPE_CHECKING:
    from pipeline.messages import ResultHeader, StatusHeader
    from pipeline.stream_check import Notice

BAR_CELLS = 15
THRESHOLD_CELL = 10


def printable(text: str) -> str:
    """Text without control characters: those of a part id could otherwise steer the terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def score_bar(score: float | None, threshold: float | None) -> str:
    """Score on a fixed scale, 0 to 1.5 times the threshold, which is the mark: `█████     │     `."""
    if score is None or threshold is None or threshold <= 0:
        return f"{'no score':{THRESHOLD_CELL}}│{' ' * (BAR_CELLS - THRESHOLD_CELL)}"
    filled = round(min(max(score / threshold, 0.0), BAR_CELLS / THRESHOLD_CELL) * THRESHOLD_CELL)
    # Rounding must not move a score over the mark: under the threshold stays left of it, the rest passes it.
    filled = min(filled, THRESHOLD_CELL - 1) if score < threshold else max(filled, THRESHOLD_CELL + 1)
    cells = ("█" * filled).ljust(BAR_CELLS)
    return f"{cells[:THRESHOLD_CELL]}│{cells[THRESHOLD_CELL:]}"


def score_text(score: float | None, threshold: float | None) -> str:
    """Score with as many decimals as give its threshold four digits, so that a column lines up."""
    if score is None:
        return "-"
    if not threshold:
        return f"{score:.4g}"
    decimals = max(0, min(9, 3 - math.floor(math.log10(abs(threshold)))))
    return f"{score:.{decimals}f}"


def clock_text(header: ResultHeader) -> str:
    """Local time of publication, to the millisecond."""
    try:
        published = datetime.fromtimestamp(int(header.published_ns) / 1e9).astimezone()
    except (OverflowError, OSError, ValueError):
        return "??:??:??.???"
    return published.strftime("%H:%M:%S.%f")[:-3]


def reason_label(header: ResultHeader, *, expired: bool) -> str:
    """The reason in a word or two: `anomaly`, `no frame`; nothing for an accepted part."""
    try:
        label = Reason(header.reason_code).name.lower().replace("_", " ")
    except ValueError:
        label = printable(f"{header.reason_code} {header.reason}")
    label = "" if header.reason_code == Reason.OK else label
    return f"EXPIRED {label}".rstrip() if expired else label


def state_words(status: StatusHeader | None, *, stale: bool) -> tuple[str, str]:
    """The station's state in words, and the colour that goes with them."""
    if status is None:
        return ("NO STATION HEARD", "red") if stale else ("CONNECTING", "yellow")
    if stale:
        return "NOT READY, no fresh status", "red"
    if status.fault:
        return f"FAULT, {printable(status.fault)}", "red"
    if not status.ready:
        return f"NOT READY, {status.state}", "yellow"
    return "READY", "green"


def describe(notice: Notice) -> str:
    """A notice as a sentence for the person at the line."""
    if isinstance(notice, Gap):
        count = notice.last - notice.first + 1
        return f"lost {count} of {notice.stream}: {notice.first} to {notice.last}"
    if isinstance(notice, Lost):
        return f"{notice.stream} {notice.first} to {notice.last} is not to be had any more"
    if isinstance(notice, EpochChange):
        return "the station was restarted"
    if isinstance(notice, Repeat):
        return f"{notice.stream} {notice.seq} came again: do two stations have one name?"
    if isinstance(notice, Stale):
        return f"no status from {notice.station or 'any station'}: treat it as not ready"
    return f"unreadable message: {notice.text}"


def plain_line(header: ResultHeader, *, expired: bool) -> str:
    """One result as a line of text."""
    score, threshold = (score_text(value, header.threshold) for value in (header.score, header.threshold))
    part = header.part_id or f"#{header.trigger_id}"
    reason = header.reason if header.disposition == "reject" else ""
    return printable(
        f"{clock_text(header)}  {header.camera}  {part}  {header.disposition.upper():6}  score {score}  "
        f"threshold {threshold}  {header.latency_us / 1000:.1f} ms  {'EXPIRED ' if expired else ''}{reason}"
    ).rstrip()
