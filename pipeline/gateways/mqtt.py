"""Results, status and events of a station as JSON on an MQTT broker; with a group, as Sparkplug B as well.

For records and plant systems, not for a reject gate: a broker promises no time.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from pipeline.client import Message
from pipeline.gateways.broker import Broker, Letter
from pipeline.wire import encode

if TYPE_CHECKING:
    from pipeline.config import Config
    from pipeline.gateways.link import StationLink
    from pipeline.gateways.sparkplug import SparkplugNode
    from pipeline.gateways.station_view import StationView
    from pipeline.stream_check import Notice


class Presence(msgspec.Struct, frozen=True, kw_only=True):
    """What stands, retained, under `.../state`: is the gateway there, is the station fresh and ready?"""

    online: bool
    fresh: bool = False
    ready: bool = False
    state: str | None = None


class MqttOutlet:
    """A client of the broker, or two: a connection has one will, and Sparkplug wants one of its own."""

    def __init__(self, config: Config, station: StationView, link: StationLink) -> None:
        assert config.gateways is not None
        assert config.gateways.mqtt is not None
        del link  # nothing is triggered over MQTT
        mqtt, settings = config.gateways.mqtt, config.station
        self._station = station
        self._base = f"{mqtt.prefix}/{settings.line}/{settings.name}"
        self._presence = Presence(online=True)
        name = f"hlgfa-{settings.line}-{settings.name}"
        self._broker = Broker(
            mqtt, client_id=name, make_will=self._will, on_connected=lambda: self._say(self._presence)
        )
        self._node: SparkplugNode | None = None
        if mqtt.sparkplug_group is not None:
            from pipeline.gateways.sparkplug import SparkplugNode

            cameras = [camera.name for camera in config.cameras]
            node = f"{settings.line}-{settings.name}"
            self._node = SparkplugNode(
                mqtt, group=mqtt.sparkplug_group, node=node, cameras=cameras, station=station
            )

    async def open(self) -> None:
        """Begin to connect; a broker that is not there is waited for."""
        self._broker.start()
        if self._node is not None:
            self._node.start()

    async def take(self, item: Message | Notice, now_ns: int) -> None:
        """Publish what the station has said."""
        if not isinstance(item, Message):
            return
        header = item.header
        self._broker.publish(Letter(topic=f"{self._base}/{header.stream}", payload=encode(header)))
        if self._node is not None:
            self._node.take(header, now_ns)
        await self.tick(now_ns)

    async def tick(self, now_ns: int) -> None:
        """Say when the station falls silent, or becomes ready."""
        status = self._station.status
        fresh = self._station.fresh(now_ns)
        presence = Presence(
            online=True,
            fresh=fresh,
            ready=fresh and status is not None and status.ready,
            state=status.state if fresh and status is not None else None,
        )
        if presence != self._presence:
            self._presence = presence
            self._say(presence)
        if self._node is not None:
            self._node.tick(now_ns)

    def _will(self) -> Letter:
        return self._letter(Presence(online=False))

    def _say(self, presence: Presence) -> None:
        self._broker.publish(self._letter(presence))

    def _letter(self, presence: Presence) -> Letter:
        payload = msgspec.json.encode(presence)
        return Letter(topic=f"{self._base}/state", payload=payload, retain=True)

    async def close(self) -> None:
        """Say that the gateway goes, and disconnect. Idempotent."""
        await asyncio.to_thread(self._broker.stop, self._will())
        if self._node is not None:
            await asyncio.to_thread(self._node.stop)
