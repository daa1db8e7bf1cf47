"""The seam between the gateway and its protocols: one `Outlet` each."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Protocol

from pipeline.config import ConfigError

if TYPE_CHECKING:
    from pipeline.client import Message
    from pipeline.stream_check import Notice


class Outlet(Protocol):
    """One protocol's side of the gateway. All calls come from one asyncio loop; none may wait for a peer."""

    async def open(self) -> None:
        """Begin to serve.

        Raises:
            ConfigError: an address, a file or a library cannot be used.
        """

    async def take(self, item: Message | Notice, now_ns: int) -> None:
        """Show what the station has said; what has expired says reject already."""

    async def tick(self, now_ns: int) -> None:
        """Show what happens by time alone; called every 50 ms."""

    async def close(self) -> None:
        """End, and free everything. Idempotent."""


def missing_library(name: str, extra: str) -> ConfigError:
    """What to say where a protocol's library is not installed."""
    return ConfigError(
        f"gateways.{name}: its library is not installed. Run: pip install -c constraints.txt -e '.[{extra}]'"
    )


def check_free(where: str, host: str, port: int) -> None:
    """Refuse an address that cannot be bound, in one line; the libraries have several ways to say it.

    Raises:
        ConfigError: the address is in use, or not one of this machine.
    """
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise ConfigError(
            f"{where}: found {host}:{port}, which cannot be bound ({error.strerror}), expected a free "
            "address of this machine. Change it in config.yaml, or stop the other program."
        ) from error
