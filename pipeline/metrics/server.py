"""Answers over HTTP, on threads of its own: /metrics for Prometheus, /healthz for whoever alarms."""

from __future__ import annotations

import socketserver
import threading
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import msgspec
from prometheus_client import make_wsgi_app

from pipeline.config import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from wsgiref.types import StartResponse, WSGIEnvironment

    from prometheus_client import CollectorRegistry

    from pipeline.metrics.health import Health
    from pipeline.metrics_config import MetricsConfig

REQUEST_S = 5.0
"""How long a client may take over its request; one that says nothing holds no thread for longer."""
MAX_REQUESTS = 8
"""At once: the rest waits in the kernel's queue, which is bounded, too."""


class _Handler(WSGIRequestHandler):
    timeout = REQUEST_S

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Scrapes are not worth a line."""


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 16

    def __init__(self, address: tuple[str, int]) -> None:
        self._room = threading.BoundedSemaphore(MAX_REQUESTS)
        super().__init__(address, _Handler)

    def process_request(self, request: object, client_address: object) -> None:
        """Start a thread when there is room for one."""
        self._room.acquire()
        super().process_request(request, client_address)  # type: ignore[arg-type]  # as it was handed in

    def process_request_thread(self, request: object, client_address: object) -> None:
        """Serve, then make room."""
        try:
            super().process_request_thread(request, client_address)  # type: ignore[arg-type]
        finally:
            self._room.release()


class HttpServer:
    """Serves until closed; `port` is the real one."""

    def __init__(
        self, settings: MetricsConfig, registry: CollectorRegistry, health: Callable[[], Health]
    ) -> None:
        """Bind and serve.

        Raises:
            ConfigError: the address cannot be bound.
        """
        try:
            self._server = _Server((settings.host, settings.port))
        except OSError as error:
            raise ConfigError(
                f"metrics: {settings.host}:{settings.port} cannot be bound ({error.strerror}). Stop what "
                "listens there, or set metrics.port."
            ) from error
        self._server.set_app(_application(registry, health))
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, name="http", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop serving; safe to call again."""
        self._server.shutdown()
        self._server.server_close()


def _application(
    registry: CollectorRegistry, health: Callable[[], Health]
) -> Callable[[WSGIEnvironment, StartResponse], Iterable[bytes]]:
    metrics = make_wsgi_app(registry)

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path == "/metrics":
            answered: Iterable[bytes] = metrics(environ, start_response)
            return answered
        if path == "/healthz":
            found = health()
            status = "200 OK" if found.ok else "503 Service Unavailable"
            start_response(status, [("Content-Type", "application/json"), ("Cache-Control", "no-store")])
            return [msgspec.json.encode(found), b"\n"]
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        return [b"found no such page, expected /metrics or /healthz\n"]

    return answer
