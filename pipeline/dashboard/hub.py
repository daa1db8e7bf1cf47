"""From the station to the browsers: what was heard goes into the view, what is shown into every mailbox.

Everything is packed once for all browsers. Runs in one asyncio loop; only PNGs are made in a thread.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import msgspec

from pipeline.client import Message
from pipeline.dashboard.messages import (
    DroppedMessage,
    EventMessage,
    HelloMessage,
    PictureHead,
    PointsMessage,
    RejectMessage,
    RejectView,
    encode,
    encode_picture,
)
from pipeline.dashboard.overlay import overlay_png
from pipeline.dashboard.pictures import Heatmap, Joiner, Rejects
from pipeline.dashboard.view import View, event_view, result_view
from pipeline.messages import (
    EventHeader,
    HeatmapHeader,
    ImageHeader,
    ResultHeader,
    StatsHeader,
    StatusHeader,
)
from pipeline.stream_check import Gap
from pipeline.wire import MessageError

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from pipeline.config import Config
    from pipeline.dashboard.mailbox import Mailbox
    from pipeline.dashboard.messages import Point, ResultView, ToPage
    from pipeline.dashboard.pictures import Picture
    from pipeline.stream_check import Notice


class Browser:
    """One page that is open: its mailbox, and the camera that it looks at."""

    def __init__(self, mailbox: Mailbox, camera: str) -> None:
        self.mailbox = mailbox
        self.camera = camera
        self.told_dropped = 0


class Hub:
    """One station for all browsers; `refused`: why it does not let us in, None while that is not so."""

    def __init__(self, config: Config, executor: Executor) -> None:
        """Begin with nothing heard and nobody looking."""
        station = config.station
        self.cameras = [camera.name for camera in config.cameras]
        self.browsers: set[Browser] = set()
        self.rejects = Rejects()
        self.refused: str | None = None
        self._view = View(
            line=station.line, station=station.name, cameras=self.cameras, deadline_ms=station.deadline_ms
        )
        self._hello = (station.line, station.name, config.image.policy != "none")
        dashboard = config.dashboard
        self._picture_ns = round(1e9 / (5.0 if dashboard is None else dashboard.picture_hz))
        self._picture_due_ns: dict[str, int] = {}
        self._executor = executor
        self._joiner = Joiner()
        self._new_points: dict[str, list[Point]] = {}
        self._last_pictures: dict[str, bytes] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    # From the station

    def take(self, item: Message | Notice) -> None:
        """One message or notice of the station."""
        if isinstance(item, Gap):
            if not item.stream.startswith(("heatmap/", "image/")):
                self._view.lost += item.last - item.first + 1
            return
        if not isinstance(item, Message):
            return
        header = item.header
        if isinstance(header, StatusHeader):
            self._view.take_status(header, time.monotonic_ns())
        elif isinstance(header, ResultHeader):
            self._take_result(result_view(header))
        elif isinstance(header, HeatmapHeader):
            self._joiner.take_heatmap(Heatmap(header, item.payload or b""))
        elif isinstance(header, ImageHeader):
            self._show(self._joiner.take_image(header, item.payload or b""))
        elif isinstance(header, EventHeader):
            event = event_view(header)
            self._view.events.append(event)
            self._tell(EventMessage(event=event))
        elif isinstance(header, StatsHeader):
            self._view.take_stats(header)

    def _take_result(self, result: ResultView) -> None:
        point = self._view.take_result(result, time.monotonic_ns())
        self._new_points.setdefault(result.camera, []).append(point)
        if result.disposition == "reject":
            self.rejects.add(result)
            self._tell(RejectMessage(reject=RejectView(result=result, pictured=False, mapped=False)))
        self._show(self._joiner.take_result(result))

    def _show(self, picture: Picture | None) -> None:
        """Send a picture to who looks at its camera, not too often; rejects are kept in any case."""
        if picture is None:
            return
        rejected = self.rejects.add_picture(picture)
        if rejected:
            self._tell(RejectMessage(reject=_reject(picture.result, picture)))
        camera, now_ns = picture.result.camera, time.monotonic_ns()
        if not rejected and now_ns < self._picture_due_ns.get(camera, now_ns):
            return
        self._picture_due_ns[camera] = now_ns + self._picture_ns
        task = asyncio.get_running_loop().create_task(self._send(picture))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send(self, picture: Picture) -> None:
        """Pack in the thread, then put it where the one before it may still wait."""
        result, image = picture.result, picture.image
        overlay = await self.overlay(picture)
        head = PictureHead(
            result=result,
            jpeg_bytes=len(picture.jpeg),
            overlay_bytes=len(overlay),
            image_px=(image.image_shape[1], image.image_shape[0]),
        )
        data = encode_picture(head, picture.jpeg, overlay)
        self._last_pictures[result.camera] = data
        for browser in self.browsers:
            if browser.camera == result.camera:
                browser.mailbox.replace("picture", data)

    async def overlay(self, picture: Picture) -> bytes:
        """The PNG of a picture's heatmap; empty if it has none that can be read."""
        if picture.heatmap is None:
            return b""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._executor, overlay_png, *picture.heatmap)
        except MessageError:
            return b""

    # To the browsers

    def tick(self, *, fresh: bool) -> None:
        """Send the state and the new points of the chart; call it ten times a second."""
        state = self._view.state(fresh=fresh, now_ns=time.monotonic_ns(), now_utc_ms=time.time_ns() / 1e6)
        data = encode(msgspec.structs.replace(state, refused=self.refused)).decode()
        for browser in self.browsers:
            browser.mailbox.replace("state", data)
        for camera, points in self._new_points.items():
            self._tell(PointsMessage(camera=camera, whole=False, points=points))
        self._new_points.clear()
        self._tell_dropped()

    def _tell_dropped(self) -> None:
        for browser in self.browsers:
            if browser.mailbox.dropped != browser.told_dropped:
                browser.told_dropped = browser.mailbox.dropped
                browser.mailbox.replace("dropped", _text(DroppedMessage(count=browser.told_dropped)))

    def enter(self, browser: Browser) -> None:
        """A page was opened: tell it what has happened so far."""
        line, station, images = self._hello
        rejects = [_reject(result, picture) for result, picture in self.rejects.all()]
        hello = HelloMessage(
            line=line,
            station=station,
            images=images,
            cameras=self.cameras,
            rejects=rejects,
            events=list(self._view.events),
        )
        browser.mailbox.put(_text(hello))
        for camera, points in self._view.points.items():
            browser.mailbox.put(_text(PointsMessage(camera=camera, whole=True, points=list(points))))
        self.browsers.add(browser)
        self.look(browser, browser.camera)

    def look(self, browser: Browser, camera: str) -> None:
        """The page looks at this camera from now on; its last picture comes at once."""
        browser.camera = camera
        browser.mailbox.forget("picture")
        picture = self._last_pictures.get(camera)
        if picture is not None:
            browser.mailbox.replace("picture", picture)

    def _tell(self, message: ToPage) -> None:
        if self.browsers:
            text = _text(message)
            for browser in self.browsers:
                browser.mailbox.put(text)


def _reject(result: ResultView, picture: Picture | None) -> RejectView:
    mapped = picture is not None and picture.heatmap is not None
    return RejectView(result=result, pictured=picture is not None, mapped=mapped)


def _text(message: ToPage) -> str:
    return encode(message).decode()
