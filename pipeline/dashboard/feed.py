"""Hears the station and ticks: the only place where the dashboard reads the station's publications."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from pipeline.access.admission import Admission
from pipeline.access.keys import load_local_keys
from pipeline.async_client import AsyncResultSubscriber
from pipeline.config import ConfigError
from pipeline.gateways.link import reachable
from pipeline.socket_config import is_local
from pipeline.stream_check import Stale

if TYPE_CHECKING:
    from pipeline.access.keys import ClientKeys
    from pipeline.config import Config
    from pipeline.dashboard.hub import Hub

TICK_S = 0.1
MAX_AGE_MS = 1_000.0
QUEUE_MESSAGES = 64
"""Two seconds of a fast line: what a slow dashboard loses is lost early, and seen as a gap."""
_log = logging.getLogger(__name__)


def keys_for(config: Config, endpoint: str) -> ClientKeys | None:
    """The dashboard's own keys, None for an address that wants none.

    Raises:
        ConfigError: a key file is missing, damaged, or open to others.
    """
    if config.security is None or is_local(endpoint):
        return None
    assert config.dashboard is not None
    return load_local_keys(config.security, config.dashboard.key)


def refusal(config: Config) -> str:
    """What a person is to do about a station that does not let the page in."""
    assert config.dashboard is not None
    assert config.security is not None
    name, folder = config.dashboard.key, config.security.keys_dir
    return (
        f"Found no way into the station at {reachable(config.sockets.results)}, expected it to know the key "
        f"{name!r} and to have {config.security.server_key}.key itself. Run: hlgfa keys allow {folder} "
        f"{folder}/{name}.key --name {name}"
    )


def fixed(name: str, endpoint: str) -> str:
    """An address that can be connected to.

    Raises:
        ConfigError: its port is given by the system when the station starts.
    """
    if endpoint.endswith(":*"):
        raise ConfigError(
            f"sockets.{name}: found {endpoint}, expected a fixed port: the page cannot find it."
        )
    return reachable(endpoint)


class Feed:
    """Hears one station for a hub."""

    def __init__(self, config: Config, hub: Hub) -> None:
        """Look whether the station can be found; nothing is connected yet.

        Raises:
            ConfigError: an address has no fixed port, or its keys cannot be used.
        """
        sockets = config.sockets
        self._station = config.station
        self._results = fixed("results", sockets.results)
        self._heatmaps = fixed("heatmaps", sockets.heatmaps)
        self._keys = keys_for(config, sockets.results)
        self._refusal = "" if self._keys is None else refusal(config)
        self._admission = Admission()
        self._hub = hub

    async def follow(self) -> None:
        """Hear the station without end; one that is not there is waited for."""
        subscriber = AsyncResultSubscriber(
            self._results,
            heatmaps_endpoint=self._heatmaps,
            line=self._station.line,
            station=self._station.name,
            max_age_ms=MAX_AGE_MS,
            keys=self._keys,
            queue_messages=QUEUE_MESSAGES,
        )
        async with subscriber:
            tasks = [asyncio.create_task(self._tick(subscriber))]
            if self._keys is not None:
                tasks.append(asyncio.create_task(subscriber.watch(self._admission)))
            try:
                async for item in subscriber:
                    self._hub.take(item)
                    if isinstance(item, Stale):  # not a tick later
                        self._hub.tick(fresh=False)
            finally:
                for task in tasks:
                    task.cancel()

    async def _tick(self, subscriber: AsyncResultSubscriber) -> None:
        while True:
            refused = self._refusal if self._admission.refused else None
            if refused is not None and self._hub.refused is None:
                _log.warning("%s", refused)
            self._hub.refused = refused
            self._hub.tick(fresh=not subscriber.reader.stale)
            await asyncio.sleep(TICK_S)
