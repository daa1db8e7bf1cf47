"""What was heard of one station, as numbers. Pure: no sockets, and the clock is an argument.

Counts of the status and of stats are the station's own, over its whole start. What only results tell
(reasons by camera, durations) counts from when this process was started; what it missed is in `missed`.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, get_args

from pipeline.audit import reason_name
from pipeline.gateways.station_view import StationView
from pipeline.messages import Kind, Reason, ResultHeader, StatsHeader, StatusHeader
from pipeline.metrics.histogram import Durations, bounds_s
from pipeline.metrics.names import STAGES
from pipeline.reader import Message
from pipeline.stream_check import EpochChange, Gap, Repeat

if TYPE_CHECKING:
    from pipeline.config import Config
    from pipeline.reader import Item

SITE = 1000
"""Reason codes from here on are the site's own."""
REASONS = tuple(reason_name(code) for code in Reason if code is not Reason.OK)
"""Names of the schema's reasons for a reject."""
KINDS: tuple[str, ...] = get_args(Kind)
"""Of messages, as far as the first part of a stream's name says it."""


class Account:
    """All that is known of a station; times are monotonic ns, ages by UTC."""

    def __init__(self, config: Config) -> None:
        self.cameras = [camera.name for camera in config.cameras]
        self.view = StationView()
        self.stats: StatsHeader | None = None
        self.heard_ns: int | None = None
        self.starts = 0
        self.rejects: Counter[tuple[str, str]] = Counter()
        self.missed: Counter[str] = Counter()
        bounds = bounds_s(config)
        self.stages = {stage: Durations(bounds) for stage in STAGES}
        self._repeated: tuple[str, int] | None = None

    def take(self, item: Item, *, now_ns: int, now_utc_ns: int) -> None:
        """Take in one message or notice."""
        if isinstance(item, Gap):
            self.missed[item.stream.split("/")[0]] += item.last - item.first + 1
        elif isinstance(item, Repeat):
            self._repeated = (item.stream, item.seq)
        elif isinstance(item, EpochChange):
            self.starts += 1
            self.stats = None
        elif isinstance(item, Message):
            self._take_message(item, now_ns, now_utc_ns)

    def _take_message(self, message: Message, now_ns: int, now_utc_ns: int) -> None:
        header = message.header
        if (header.stream, header.seq) == self._repeated:
            self._repeated = None
            return
        if self.starts == 0:
            self.starts = 1
        if isinstance(header, ResultHeader):
            self._take_result(header)
        elif isinstance(header, StatsHeader):
            self.stats = header
        elif isinstance(header, StatusHeader) and not message.expired:
            self.heard_ns = now_ns
            self.view.take(header, now_ns=now_ns, age_ns=now_utc_ns - int(header.published_ns))

    def _take_result(self, result: ResultHeader) -> None:
        if result.disposition == "reject":
            camera = result.camera if result.camera in self.cameras else "other"
            self.rejects[camera, reason_label(result.reason_code)] += 1
        for stage, duration_s in _durations_s(result).items():
            self.stages[stage].add(duration_s)


def reason_label(code: int) -> str:
    """Name of a reason; one for all of the site's own, and one for what this version does not know."""
    if code >= SITE:
        return "site"
    name = reason_name(code)
    return "other" if name.startswith("site ") else name


def _durations_s(result: ResultHeader) -> dict[str, float]:
    """Seconds of every stage that this result went through."""
    times = result.t
    moments = (times.trigger, times.exposure, times.received, times.infer_start, times.infer_end)
    if result.frame is None:
        moments = (times.trigger, None, None, None, None)
    durations = {"trigger_to_published": result.latency_us / 1e6}
    for stage, begin, end in zip(STAGES, moments, (*moments[1:], times.decided), strict=False):
        if begin is not None and end is not None and (stage != "decision" or times.infer_end is not None):
            durations[stage] = (int(end) - int(begin)) / 1e9
    return durations
