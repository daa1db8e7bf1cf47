"""What `hlgfa watch` shows: state, counts, the last results, warnings. No sockets.

Text from the wire is never taken for markup or terminal commands: a part id may hold anything.
"""

from __future__ import annotations

from collections import deque
from datetime import datetime
from typing import TYPE_CHECKING

from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from pipeline.client import Message
from pipeline.messages import EventHeader, ResultHeader, StatusHeader
from pipeline.stream_check import Gap, Stale
from tools.watch_text import clock_text, describe, printable, reason_label, score_bar, score_text, state_words

if TYPE_CHECKING:
    from rich.console import RenderableType

    from pipeline.messages import CameraStatus
    from pipeline.stream_check import Notice

SHOWN_RESULTS = 15
SHOWN_WARNINGS = 3
FIXED_ROWS = 7  # frame and two lines of table heads, the last line, one to spare


class WatchView:
    """The state behind the screen; `take` feeds it, `render` draws it."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._status: StatusHeader | None = None
        self._stale = False
        self._latest: dict[str, ResultHeader] = {}
        self._results: deque[tuple[ResultHeader, bool]] = deque(maxlen=SHOWN_RESULTS)
        self._warnings: deque[str] = deque(maxlen=SHOWN_WARNINGS)
        self._lost = 0

    def take(self, item: Message | Notice) -> None:
        """Take in what the subscriber gave."""
        if isinstance(item, Message):
            self._take_message(item)
            return
        if isinstance(item, Stale):
            self._stale = True
        if isinstance(item, Gap):
            self._lost += item.last - item.first + 1
        self._warn(describe(item))

    def _take_message(self, message: Message) -> None:
        header = message.header
        if isinstance(header, ResultHeader):
            self._results.appendleft((header, message.expired))
            self._latest[header.camera or ""] = header
        elif isinstance(header, EventHeader) and header.severity != "info":
            self._warn(f"{header.severity} {header.kind}: {header.text}")
        elif isinstance(header, StatusHeader):
            self._status, self._stale = header, message.expired

    def _warn(self, text: str) -> None:
        self._warnings.append(f"{datetime.now().astimezone():%H:%M:%S}  {printable(text)}")

    def render(self, height: int = 40) -> RenderableType:
        """The whole screen; as many results as fit into `height` rows."""
        parts: list[RenderableType] = [self._state_line()]
        cameras = self._status.cameras if self._status else []
        if cameras:
            parts.append(self._camera_table(cameras))
        parts.append(self._result_table(max(1, height - FIXED_ROWS - len(cameras) - len(self._warnings))))
        parts.extend(Text(text, style="yellow", no_wrap=True) for text in self._warnings)
        parts.append(Text("Ctrl-C ends.", style="dim"))
        return Group(*parts)

    def _state_line(self) -> Panel:
        words, colour = state_words(self._status, stale=self._stale)
        line = Text.assemble(
            (f" {words} ", f"bold {colour} reverse"), "  ", no_wrap=True, overflow="ellipsis"
        )
        status = self._status
        if status is None:
            line.append(printable(self._endpoint))
            return Panel(line, border_style=colour)
        line.append(printable(f"{status.line}/{status.station}"))
        if status.recipe:
            line.append(printable(f"  recipe {status.recipe.id} v{status.recipe.version}"))
        if any(header.simulated for header in self._latest.values()):
            line.append("  SIMULATED", style="bold yellow")
        for name, count in (("lost", self._lost), ("late", status.late), ("queued", status.queue_depth)):
            if count:
                line.append(f"  {name} {count}", style="yellow")
        return Panel(line, border_style=colour)

    def _camera_table(self, cameras: list[CameraStatus]) -> Table:
        table = _table(
            ("camera", "state"), ("triggers", "accept", "reject", "reject %", "skipped", "threshold")
        )
        for camera in cameras:
            decided = camera.accepts + camera.rejects
            latest = self._latest.get(camera.name)
            table.add_row(
                Text(printable(camera.name)),
                Text(printable(camera.state)),
                str(camera.triggers),
                Text(str(camera.accepts), style="green"),
                Text(str(camera.rejects), style="red" if camera.rejects else ""),
                f"{100 * camera.rejects / decided:.1f}" if decided else "-",
                str(camera.frames_skipped),
                score_text(latest.threshold, latest.threshold) if latest else "-",
            )
        return table

    def _result_table(self, rows: int) -> Table:
        table = _table(("time", "camera", "part", "verdict", "of threshold"), ("score", "ms"))
        table.add_column("reason", ratio=1, no_wrap=True)
        for header, expired in list(self._results)[:rows]:
            table.add_row(*_cells(header, expired), style="dim" if expired or self._stale else "")
        return table


def _table(texts: tuple[str, ...], numbers: tuple[str, ...]) -> Table:
    table = Table(expand=True, header_style="dim", box=None, padding=(0, 1, 0, 0))
    for name in texts:
        table.add_column(name, no_wrap=True, max_width=20)
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _cells(header: ResultHeader, expired: bool) -> tuple[RenderableType, ...]:
    colour = "green" if header.disposition == "accept" else "red"
    return (
        clock_text(header),
        Text(printable(header.camera or "")),
        Text(printable(header.part_id or f"#{header.trigger_id}")),
        Text(header.disposition.upper(), style=f"bold {colour}"),
        Text(score_bar(header.score, header.threshold), style=colour),
        score_text(header.score, header.threshold),
        f"{header.latency_us / 1000:.1f}",
        Text(reason_label(header, expired=expired)),
    )
