"""`hlgfa metrics`: hears one station and answers Prometheus.

A subscriber like any other: it may be started before the station and outlive it, and nothing that happens
here reaches the station.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry

from pipeline.access.keys import load_local_keys
from pipeline.client import ResultSubscriber
from pipeline.config import ConfigError
from pipeline.gateways.link import reachable
from pipeline.metrics.account import Account
from pipeline.metrics.collector import StationCollector
from pipeline.metrics.health import Health, health
from pipeline.metrics.host import Host
from pipeline.metrics.server import HttpServer
from pipeline.notify import Notifier
from pipeline.socket_config import is_local

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.config import Config

TURN_S = 0.05


class MetricsService:
    """Metrics of one station. `run` returns when it is stopped."""

    def __init__(self, config: Config) -> None:
        """Check what can be checked without a connection.

        Raises:
            ConfigError: the station's address has no fixed port.
        """
        if config.sockets.results.endswith(":*"):
            raise ConfigError(
                f"sockets.results: found {config.sockets.results}, expected a fixed port: metrics cannot "
                "find it else."
            )
        self._config = config
        self._account = Account(config)
        self._lock = threading.Lock()
        self._stopping = False

    def health(self) -> Health:
        """What /healthz says now."""
        with self._lock:
            return health(self._account, time.monotonic_ns())

    def run(self, on_ready: Callable[[int], None] | None = None) -> None:
        """Serve until stopped; `on_ready` is called once, with the port of the HTTP server.

        Raises:
            ConfigError: an address cannot be bound or connected to, or keys cannot be used.
        """
        registry = CollectorRegistry()
        registry.register(
            StationCollector(
                self._account,
                lock=self._lock,
                host=Host(self._config).facts,
                now_ns=time.monotonic_ns,
            )
        )
        with (
            self._subscribe() as subscriber,
            contextlib.closing(HttpServer(self._config.metrics, registry, self.health)) as server,
            contextlib.closing(Notifier(os.environ)) as systemd,
        ):
            if on_ready is not None:
                on_ready(server.port)
            systemd.ready()
            self._serve(subscriber, systemd)
            systemd.stopping()

    def stop(self) -> None:
        """Ask `run` to return; safe from a signal handler and from another thread."""
        self._stopping = True

    def _serve(self, subscriber: ResultSubscriber, systemd: Notifier) -> None:
        while not self._stopping:
            item = subscriber.receive(TURN_S)
            now_ns = time.monotonic_ns()
            if item is not None:
                with self._lock:
                    self._account.take(item, now_ns=now_ns, now_utc_ns=time.time_ns())
            systemd.pet(now_ns)

    def _subscribe(self) -> ResultSubscriber:
        config = self._config
        keys = None
        if config.security is not None and not is_local(config.sockets.results):
            keys = load_local_keys(config.security, config.metrics.key)
        return ResultSubscriber(
            reachable(config.sockets.results),
            line=config.station.line,
            station=config.station.name,
            keys=keys,
        )
