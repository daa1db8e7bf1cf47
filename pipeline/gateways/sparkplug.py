"""The station as a Sparkplug B edge node, each camera a device of it: births, deaths, results as metrics.

What of Sparkplug B 3.0 is here: NBIRTH, NDEATH with bdSeq, DBIRTH, DDATA, NDATA, DDEATH and the rebirth
command. Not here: aliases, historical data, the state of a primary host.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from pipeline.gateways.broker import Broker, Letter
from pipeline.gateways.sparkplug_payload import (
    BOOLEAN,
    DOUBLE,
    INT32,
    REBIRTH,
    STRING,
    UINT32,
    UINT64,
    Value,
    asks_for_rebirth,
    encode_payload,
)
from pipeline.messages import ResultHeader, StatusHeader

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.gateway_config import MqttConfig
    from pipeline.gateways.station_view import StationView
    from pipeline.messages import AnyHeader

NAMESPACE = "spBv1.0"
_NO_STATUS: dict[str, tuple[int, Value]] = {
    "Ready": (BOOLEAN, False),
    "State": (STRING, None),
    "Fault": (STRING, None),
    "Late": (UINT32, None),
}


class SparkplugNode:
    """One edge node. The library's thread says births, the gateway's loop data: a lock keeps `seq`."""

    def __init__(
        self, mqtt: MqttConfig, *, group: str, node: str, cameras: list[str], station: StationView
    ) -> None:
        self._topic = f"{NAMESPACE}/{group}/{{}}/{node}"
        self._cameras = cameras
        self._station = station
        self._lock = threading.Lock()
        self._seq = 0
        self._birth_seq = -1
        self._born = False
        self._fresh = False
        self._status = _NO_STATUS
        self._results: dict[str, ResultHeader] = {}
        self._broker = Broker(
            mqtt,
            client_id=f"hlgfa-sp-{group}-{node}",
            make_will=self._next_will,
            on_connected=self._on_connected,
        )

    def start(self) -> None:
        """Begin to connect."""
        self._broker.start()

    def take(self, header: AnyHeader, now_ns: int) -> None:
        """Publish a result, or what has changed of the status."""
        if isinstance(header, ResultHeader) and header.camera is not None:
            with self._lock:
                self._results[header.camera] = header
                self._say("DDATA", result_metrics(header), device=header.camera)
        elif isinstance(header, StatusHeader) and self._station.fresh(now_ns):
            self._change(status_metrics(header))

    def tick(self, now_ns: int) -> None:
        """A silent station is not ready, and its devices are dead until it speaks again."""
        fresh = self._station.fresh(now_ns)
        if fresh == self._fresh:
            return
        self._fresh = fresh
        if not fresh:
            self._change(_NO_STATUS)
        with self._lock:
            for camera in self._cameras:
                self._say(
                    "DBIRTH" if fresh else "DDEATH", self._device(camera) if fresh else {}, device=camera
                )

    def _change(self, status: dict[str, tuple[int, Value]]) -> None:
        with self._lock:
            changed = {name: value for name, value in status.items() if self._status.get(name) != value}
            self._status = status
            if changed:
                self._say("NDATA", changed)

    def _next_will(self) -> Letter:
        """NDEATH of the connection that begins; its bdSeq is that of the NBIRTH to come."""
        with self._lock:
            self._born = False
            self._birth_seq = (self._birth_seq + 1) % 256
            return self._death()

    def _death(self) -> Letter:
        metrics: dict[str, tuple[int, Value]] = {"bdSeq": (UINT64, self._birth_seq)}
        return Letter(topic=self._topic.format("NDEATH"), payload=encode_payload(metrics, seq=None))

    def _on_connected(self) -> None:
        self._broker.subscribe(self._topic.format("NCMD"), self._on_command)
        self._be_born()

    def _on_command(self, payload: bytes) -> None:
        if asks_for_rebirth(payload):
            self._be_born()

    def _be_born(self) -> None:
        with self._lock:
            self._born, self._seq = True, 0
            birth = {"bdSeq": (UINT64, self._birth_seq), REBIRTH: (BOOLEAN, False), **self._status}
            self._say("NBIRTH", birth)
            for camera in self._cameras if self._fresh else ():
                self._say("DBIRTH", self._device(camera), device=camera)

    def _device(self, camera: str) -> dict[str, tuple[int, Value]]:
        """All metrics of a device, null where there was no result yet."""
        result = self._results.get(camera)
        return (
            result_metrics(result) if result else {name: (kind, None) for name, kind in RESULT_KINDS.items()}
        )

    def _say(self, kind: str, metrics: Mapping[str, tuple[int, Value]], *, device: str | None = None) -> None:
        """Under the lock: the numbers must leave in their order."""
        if not self._born or not self._broker.connected:
            return
        topic = self._topic.format(kind) + (f"/{device}" if device else "")
        if self._broker.publish(Letter(topic=topic, payload=encode_payload(metrics, seq=self._seq))):
            self._seq = (self._seq + 1) % 256

    def stop(self) -> None:
        """Say NDEATH and disconnect. Idempotent."""
        self._broker.stop(self._death())


RESULT_KINDS = {
    "ResultId": STRING,
    "TriggerId": UINT32,
    "PartId": STRING,
    "JobId": STRING,
    "Accept": BOOLEAN,
    "Verdict": STRING,
    "ResultState": INT32,
    "ReasonCode": INT32,
    "Reason": STRING,
    "Score": DOUBLE,
    "Threshold": DOUBLE,
    "LatencyUs": INT32,
    "IsSimulated": BOOLEAN,
}


def result_metrics(result: ResultHeader) -> dict[str, tuple[int, Value]]:
    """A result as metrics of its camera."""
    values: tuple[Value, ...] = (
        result.result_id,
        result.trigger_id,
        result.part_id,
        result.job_id,
        result.disposition == "accept",
        result.verdict,
        result.result_state,
        result.reason_code,
        result.reason,
        result.score,
        result.threshold,
        result.latency_us,
        result.simulated,
    )
    return {name: (kind, value) for (name, kind), value in zip(RESULT_KINDS.items(), values, strict=True)}


def status_metrics(status: StatusHeader) -> dict[str, tuple[int, Value]]:
    """A status as metrics of the node."""
    return {
        "Ready": (BOOLEAN, status.ready),
        "State": (STRING, status.state),
        "Fault": (STRING, status.fault),
        "Late": (UINT32, status.late),
    }
