"""The gateway process: one station's results to the protocols of its configuration, and triggers back.

A subscriber like any other: it may be started before the station and outlive it, and nothing that happens
here reaches the station but triggers.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from pipeline.client import Message
from pipeline.config import ConfigError
from pipeline.gateways.banks import TIMEOUT_MARGIN_MS
from pipeline.gateways.link import StationLink
from pipeline.gateways.station_view import StationView, as_of_now
from pipeline.messages import StatusHeader

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.config import Config
    from pipeline.gateway_config import GatewaysConfig
    from pipeline.gateways.outlet import Outlet
    from pipeline.stream_check import Notice

TICK_NS = 50_000_000


class Gateway:
    """All gateways of one station. `run` returns when it is stopped."""

    def __init__(self, config: Config) -> None:
        """Check what can be checked without a connection.

        Raises:
            ConfigError: no gateway is configured, or one cannot be as it is.
        """
        gateways = config.gateways
        if gateways is None or not _names(gateways):
            raise ConfigError(
                "gateways: found none, expected modbus, s7, opcua or mqtt. See docs/gateways.md."
            )
        timeout_ms = gateways.result_timeout_ms
        if timeout_ms is not None and timeout_ms < config.station.deadline_ms:
            raise ConfigError(
                f"gateways.result_timeout_ms: found {timeout_ms}, expected at least station.deadline_ms "
                f"({config.station.deadline_ms}), or null for {TIMEOUT_MARGIN_MS} more."
            )
        self._config = config
        self._deadline_ns = round(config.station.deadline_ms * 1e6)
        self._station = StationView()
        self._stopping = False

    async def run(self, on_ready: Callable[[], None] | None = None) -> None:
        """Serve until stopped; `on_ready` is called once, when every protocol is served.

        Raises:
            ConfigError: an address, a file or a library cannot be used.
        """
        async with contextlib.AsyncExitStack() as stack:
            link = StationLink(self._config)
            stack.push_async_callback(link.close)
            outlets = make_outlets(self._config, self._station, link)
            for outlet in outlets:
                stack.push_async_callback(outlet.close)
                await outlet.open()
            if on_ready is not None:
                on_ready()
            await self._serve(link, outlets)

    def stop(self) -> None:
        """Ask `run` to return; safe from a signal handler and from another thread."""
        self._stopping = True

    async def _serve(self, link: StationLink, outlets: list[Outlet]) -> None:
        tick_ns = 0
        async with contextlib.aclosing(link.items()) as items:
            async for item in items:
                if self._stopping:
                    return
                now_ns = time.monotonic_ns()
                if item is not None:
                    await self._take(item, outlets, now_ns)
                if now_ns >= tick_ns:
                    tick_ns = now_ns + TICK_NS
                    for outlet in outlets:
                        await outlet.tick(now_ns)

    async def _take(self, item: Message | Notice, outlets: list[Outlet], now_ns: int) -> None:
        if isinstance(item, Message):
            utc_ns = time.time_ns()
            item = as_of_now(item, now_utc_ns=utc_ns, deadline_ns=self._deadline_ns)
            if isinstance(item.header, StatusHeader) and not item.expired:
                age_ns = utc_ns - int(item.header.published_ns)
                self._station.take(item.header, now_ns=now_ns, age_ns=age_ns)
        for outlet in outlets:
            await outlet.take(item, now_ns)


def _names(gateways: GatewaysConfig) -> list[str]:
    return [name for name in ("modbus", "s7", "mqtt", "opcua") if getattr(gateways, name) is not None]


def make_outlets(config: Config, station: StationView, link: StationLink) -> list[Outlet]:
    """The configured protocols, the quickest first: each waits for the ones before it."""
    from pipeline.gateways.modbus import ModbusOutlet
    from pipeline.gateways.mqtt import MqttOutlet
    from pipeline.gateways.opcua import OpcuaOutlet
    from pipeline.gateways.s7 import S7Outlet

    kinds: dict[str, Callable[[Config, StationView, StationLink], Outlet]]
    kinds = {"modbus": ModbusOutlet, "s7": S7Outlet, "mqtt": MqttOutlet, "opcua": OpcuaOutlet}
    assert config.gateways is not None
    return [kinds[name](config, station, link) for name in _names(config.gateways)]
