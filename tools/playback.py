"""A whole station on a recording: its configuration, and the one client that listens to it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter, deque
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec
import zmq

from pipeline import requests
from pipeline.client import Message, ResultSubscriber
from pipeline.config import ConfigError, RecordingCameraConfig, TriggerConfig
from pipeline.crew import StationError
from pipeline.messages import HeatmapHeader, ResultHeader, StatusHeader
from pipeline.station import Station
from pipeline.wire import MessageError
from tools.run import stop_on_signals
from tools.run_view import follow

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipeline.config import CameraConfig, Config
    from pipeline.recording_reader import Recording
    from pipeline.station import RunReport

Pace = Literal["fastest", "recorded"]
NO_HURRY_MS = 60_000.0
READY_S = 60.0
LAST_WORDS_S = 5.0
LISTEN_S = 0.05


def replay_config(config: Config, recording: Recording, pace: Pace) -> Config:
    """The same station with the recording in place of its cameras.

    It has sockets of its own, so that no output acts on a replay; its journal lies in a directory `replay`
    inside the configured one; every heatmap is published. With pace `fastest` frames are asked for one by
    one, and there is no hurry: the deadline is `NO_HURRY_MS`.

    Raises:
        ConfigError: recording and configuration do not have the same cameras.
    """
    names = {camera.name for camera in config.cameras}
    if names != set(recording.cameras):
        raise ConfigError(
            f"{recording.path}: found cameras {_list(recording.cameras)}, expected those of the "
            f"configuration: {_list(names)}. Name them alike, or record again with that configuration."
        )
    station = msgspec.structs.replace(
        config.station,
        journal_dir=str(Path(config.station.journal_dir) / "replay"),
        live_output=False,
        deadline_ms=NO_HURRY_MS if pace == "fastest" else config.station.deadline_ms,
    )
    local = "tcp://127.0.0.1:*"
    return msgspec.structs.replace(
        config,
        station=station,
        sockets=msgspec.structs.replace(config.sockets, results=local, heatmaps=local, replay=local),
        cameras=[_camera(camera, recording, pace) for camera in config.cameras],
        heatmap=msgspec.structs.replace(config.heatmap, policy="all", codec="none"),
    )


def _camera(camera: CameraConfig, recording: Recording, pace: Pace) -> RecordingCameraConfig:
    return RecordingCameraConfig(
        name=camera.name,
        width_px=camera.width_px,
        height_px=camera.height_px,
        pixel_format=camera.pixel_format,
        trigger=TriggerConfig(source="software" if pace == "fastest" else "line", frame_timeout_ms=60_000),
        file=str(recording.path),
        pace=pace,
    )


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"


class Listener:
    """Hears a station from a thread of its own, and asks it for one frame after the other.

    `shots` are the cameras in the order in which their frames are asked for, each after the result before:
    nothing can be lost or be in the way of another. Empty: the frames come by themselves.
    """

    def __init__(self, station: Station, shots: list[str]) -> None:
        self.results: list[ResultHeader] = []
        self.heatmaps: dict[str, bytes] = {}
        self._station, self._shots = station, deque(shots)
        self._asked: Counter[str] = Counter()
        self._running = self._halted = False
        self._heard, self._ended, self._closing = (threading.Event() for _ in range(3))
        self._error: Exception | None = None
        endpoints = station.endpoints
        self._subscriber = ResultSubscriber(endpoints["results"], heatmaps_endpoint=endpoints["heatmaps"])
        self._thread = threading.Thread(target=self._run, name="listener", daemon=True)
        self._thread.start()

    def await_contact(self) -> None:
        """Wait until the station is heard: no result may be published before.

        Raises:
            StationError: it is not heard.
        """
        if not self._heard.wait(READY_S):
            raise StationError(f"replay: the station was not heard within {READY_S:.0f} s.")

    def finish(self) -> None:
        """Hear the last words of the station that has ended.

        Raises:
            StationError: something that it has published is missing.
        """
        self._ended.set()
        self._thread.join()
        if self._error is not None:
            raise self._error
        if not self._complete:
            raise StationError("replay: results or heatmaps were lost on their way. Run it again.")

    def close(self) -> None:
        """End now; safe to call again."""
        self._closing.set()
        self._thread.join()
        self._subscriber.close()

    @property
    def _complete(self) -> bool:
        """Whether the station has said that it ends, and every heatmap that it told of is here."""
        told = (result.result_id for result in self.results if result.heatmap and result.heatmap.published)
        return self._halted and all(result_id in self.heatmaps for result_id in told)

    def _run(self) -> None:
        try:
            with zmq.Context() as context, context.socket(zmq.REQ) as requester:
                requester.setsockopt(zmq.LINGER, 0)
                requester.connect(self._station.endpoints["replay"])
                self._listen(requester)
        except (StationError, MessageError, zmq.ZMQError) as error:
            self._error = error
            self._station.stop()

    def _listen(self, requester: zmq.Socket[bytes]) -> None:
        silent_since_s = time.monotonic()
        while not self._closing.is_set():
            item = self._subscriber.receive(LISTEN_S)
            if isinstance(item, Message):
                silent_since_s = time.monotonic()
                self._take(item)
            elif self._ended.is_set() and time.monotonic() - silent_since_s > LAST_WORDS_S:
                return
            if self._complete:
                return
            if self._running and self._shots and len(self.results) == self._asked.total():
                self._ask(requester)

    def _take(self, message: Message) -> None:
        header = message.header
        if isinstance(header, StatusHeader):
            self._running = header.state == "ContinuousExecution"
            self._halted = header.state == "Halted"
            self._heard.set()
        elif isinstance(header, ResultHeader):
            self.results.append(header)
        elif isinstance(header, HeatmapHeader):
            self.heatmaps[header.result_id] = message.payload or b""

    def _ask(self, requester: zmq.Socket[bytes]) -> None:
        camera = self._shots.popleft()
        self._asked[camera] += 1
        request = requests.TriggerRequest(trigger_id=self._asked[camera], camera=camera)
        requester.send(requests.encode(request))
        if not requester.poll(round(READY_S * 1e3)):
            raise StationError("replay: the station does not answer a trigger.")
        reply = requests.decode_reply(requester.recv())
        if not isinstance(reply, requests.TriggerReply) or not reply.taken:
            self._shots.clear()  # it was told to stop


def play(
    config: Config, recording: Recording, pace: Pace
) -> tuple[RunReport, list[ResultHeader], dict[str, bytes]]:
    """Run the station until the recording ends or a signal stops it.

    Returns:
        The report of the run, its results in their order, and the quantised heatmaps by `result_id`.

    Raises:
        ConfigError, StationError: the station cannot start, or what it published was lost.
    """
    shots = [ref.camera for ref in recording.frames] if pace == "fastest" else []
    station = Station(replay_config(config, recording, pace), stop_after=len(recording.frames))
    with contextlib.closing(station), contextlib.closing(Listener(station, shots)) as listener:
        stop_on_signals(station)
        with follow(station, total=len(recording.frames)) as on_ready:

            def begin() -> None:
                on_ready()
                listener.await_contact()

            report = station.run(begin)
        listener.finish()
    return report, listener.results, listener.heatmaps
