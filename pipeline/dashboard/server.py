"""The server around the page: its socket, TLS, limits, and its end."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import uvicorn

from pipeline.config import ConfigError
from pipeline.dashboard.app import make_app

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.config import Config
    from pipeline.dashboard_config import DashboardConfig

MAX_FROM_PAGE_BYTES = 4096
MAX_CONNECTIONS = 256


def address(settings: DashboardConfig) -> str:
    """Where a browser finds the page."""
    scheme = "http" if settings.certificate is None else "https"
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"{scheme}://{host}:{settings.port}/"


def serve(config: Config, settings: DashboardConfig, on_ready: Callable[[], None]) -> None:
    """Serve the page until SIGINT or SIGTERM.

    Raises:
        ConfigError: the address is in use or not of this machine, or the token, a certificate or a key
            cannot be used.
    """
    failures: list[BaseException] = []

    def fail(error: BaseException) -> None:
        failures.append(error)
        server.should_exit = True

    app = make_app(config, settings, on_failed=fail, on_ready=on_ready)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            log_config=None,  # its own would close every handler there is, also that of our log records
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            ws="websockets-sansio",
            ws_max_size=MAX_FROM_PAGE_BYTES,
            ws_ping_interval=5.0,
            ws_ping_timeout=10.0,
            ws_per_message_deflate=False,
            limit_concurrency=MAX_CONNECTIONS,
            timeout_graceful_shutdown=1,
            ssl_certfile=settings.certificate,
            ssl_keyfile=settings.private_key,
        )
    )
    with _bound(settings) as listener:
        try:
            server.run(sockets=[listener])
        except OSError as error:  # the files of TLS are read here
            raise ConfigError(f"dashboard.certificate: cannot be used ({error}).") from error
    if failures:
        raise failures[0]


def _bound(settings: DashboardConfig) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        listener.listen()  # from here on a browser waits, and is not refused, until the page is served
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"dashboard: found {settings.host}:{settings.port}, which cannot be bound ({error.strerror}), "
            "expected a free port of this machine. Change dashboard.port in config.yaml."
        ) from error
    return listener
