"""What is shown of a station: kept from its messages, in bounded memory. No I/O; clocks are arguments."""

from __future__ import annotations

from collections import defaultdict, deque
from typing import TYPE_CHECKING

import msgspec

from pipeline.audit import reason_name
from pipeline.dashboard.messages import (
    CameraView,
    EventView,
    Point,
    ResultView,
    StageView,
    StateMessage,
)
from pipeline.dashboard.rate import Rate

if TYPE_CHECKING:
    from pipeline.messages import EventHeader, ResultHeader, StatsHeader, StatusHeader

KEPT_POINTS = 600
KEPT_EVENTS = 50
SHOWN_MS = 5_000
"""A verdict older than this is the last one, and not shown as that of now."""


def result_view(header: ResultHeader) -> ResultView:
    """A result in the words of the page; `state` says when it is not that of now any more."""
    frame = header.frame
    return ResultView(
        result_id=header.result_id,
        camera=header.camera or "",
        trigger_id=header.trigger_id,
        part_id=header.part_id,
        disposition=header.disposition,
        verdict=header.verdict,
        reason_code=header.reason_code,
        reason=reason_name(header.reason_code),
        text=header.reason,
        score=header.score,
        threshold=header.threshold,
        regions=header.regions,
        latency_ms=header.latency_us / 1000,
        on_time=header.on_time,
        published_ms=int(header.published_ns) / 1e6,
        expired=False,
        simulated=header.simulated,
        frame_px=None if frame is None else (frame.width, frame.height),
    )


def event_view(header: EventHeader) -> EventView:
    """An event in the words of the page."""
    return EventView(
        published_ms=int(header.published_ns) / 1e6,
        kind=header.kind,
        severity=header.severity,
        code=header.code,
        text=header.text,
        camera=header.camera,
    )


class View:
    """One station as its messages tell of it."""

    def __init__(self, *, line: str, station: str, cameras: list[str], deadline_ms: float) -> None:
        """Begin with nothing heard; the cameras are those of the configuration."""
        self._line, self._station, self._deadline_ms = line, station, deadline_ms
        self._status: StatusHeader | None = None
        self._status_ns = 0
        self._stats: StatsHeader | None = None
        self._results: dict[str, ResultView] = {}
        self._rejects_by_reason: dict[str, int] = defaultdict(int)
        self._names = list(cameras)
        self._all, self._rejected = Rate(), Rate()
        self.points: dict[str, deque[Point]] = {name: deque(maxlen=KEPT_POINTS) for name in cameras}
        self.events: deque[EventView] = deque(maxlen=KEPT_EVENTS)
        self.lost = 0

    def take_status(self, header: StatusHeader, now_ns: int) -> None:
        """The station's heartbeat; what an earlier start has counted is forgotten with its epoch."""
        if self._status is not None and self._status.epoch != header.epoch:
            self._stats = None
            self._rejects_by_reason.clear()
        self._status, self._status_ns = header, now_ns

    def take_stats(self, header: StatsHeader) -> None:
        """Counts and latencies; from here on the reasons are counted on."""
        self._stats = header
        self._rejects_by_reason = defaultdict(int, header.rejects_by_reason)

    def take_result(self, view: ResultView, now_ns: int) -> Point:
        """A result; returns its place on the chart."""
        point = Point(view.published_ms, view.score, view.threshold, view.reason_code)
        self._results[view.camera] = view
        self.points.setdefault(view.camera, deque(maxlen=KEPT_POINTS)).append(point)
        self._all.count(view.camera, now_ns)
        if view.disposition == "reject":
            self._rejected.count(view.camera, now_ns)
            self._rejects_by_reason[view.reason] += 1
        return point

    def state(self, *, fresh: bool, now_ns: int, now_utc_ms: float) -> StateMessage:
        """Everything that is shown; a verdict that is not of now is marked as expired."""
        status = self._status
        return StateMessage(
            fresh=fresh and status is not None,
            age_ms=None if status is None else (now_ns - self._status_ns) / 1e6,
            line=self._line,
            station=self._station,
            epoch=None if status is None else status.epoch,
            state=None if status is None else status.state,
            ready=fresh and status is not None and status.ready,
            fault=None if status is None else status.fault,
            engine=None if status is None else status.engine,
            recipe=None if status is None or status.recipe is None else msgspec.to_builtins(status.recipe),
            queue_depth=0 if status is None else status.queue_depth,
            late=0 if status is None else status.late,
            lost=self.lost,
            cameras=self._cameras(now_ns, now_utc_ms, fresh=fresh),
            stages=self._stages(),
            reasons=dict(self._rejects_by_reason),
            deadline_ms=self._deadline_ms,
        )

    def _cameras(self, now_ns: int, now_utc_ms: float, *, fresh: bool) -> list[CameraView]:
        known = {} if self._status is None else {camera.name: camera for camera in self._status.cameras}
        views = []
        for name in [*self._names, *(name for name in known if name not in self._names)]:
            camera, result = known.get(name), self._results.get(name)
            if result is not None and (not fresh or now_utc_ms - result.published_ms > SHOWN_MS):
                result = msgspec.structs.replace(result, expired=True)
            views.append(
                CameraView(
                    name=name,
                    state="not heard" if camera is None else camera.state,
                    triggers=0 if camera is None else camera.triggers,
                    accepts=0 if camera is None else camera.accepts,
                    rejects=0 if camera is None else camera.rejects,
                    frames_skipped=0 if camera is None else camera.frames_skipped,
                    frames_lost=0 if camera is None else camera.frames_lost,
                    per_hour=self._all.per_hour(name, now_ns),
                    rejects_per_hour=self._rejected.per_hour(name, now_ns),
                    result=result,
                )
            )
        return views

    def _stages(self) -> list[StageView]:
        if self._stats is None:
            return []
        return [
            StageView(
                stage=stage.stage,
                p50_ms=stage.p50_us / 1000,
                p99_ms=stage.p99_us / 1000,
                max_ms=stage.max_us / 1000,
            )
            for stage in self._stats.stages
        ]
