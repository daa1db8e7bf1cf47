"""A whole station on a recording, and the one client that listens to it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter, deque
from typing import TYPE_CHECKING

import zmq

from pipeline import requests
from pipeline.access.limits import REQUESTS_PER_S
from pipeline.attendance import StationError
from pipeline.client import Message, ResultSubscriber
from pipeline.messages import HeatmapHeader, ResultHeader, StatusHeader
from pipeline.station import Station
from pipeline.wire import MessageError
from tools.replay_config import replay_config
from tools.run import stop_on_signals
from tools.run_view import follow

if TYPE_CHECKING:
    from pipeline.config import Config
    from pipeline.recording_reader import Recording
    from pipeline.station import RunReport
    from tools.replay_config import Pace

READY_S = 60.0
LAST_WORDS_S = 5.0
LISTEN_S = 0.05
PACE_S = 1 / REQUESTS_PER_S


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
        self._not_before_s = 0.0
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
        time.sleep(max(0.0, self._not_before_s - time.monotonic()))
        self._not_before_s = time.monotonic() + PACE_S
        camera = self._shots.popleft()
        self._asked[camera] += 1
        request = requests.TriggerRequest(trigger_id=self._asked[camera], camera=camera)
        requester.send(requests.encode(request))
        if not requester.poll(round(READY_S * 1e3)):
            raise StationError("replay: the station does not answer a trigger.")
        reply = requests.decode_reply(requester.recv())
        if not isinstance(reply, requests.TriggerReply):
            raise StationError(f"replay: the station does not take a trigger: {reply}")
        if not reply.taken:
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
