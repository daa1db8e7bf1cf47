"""The sections of config.yaml on the station's sockets and their keys, and which addresses need keys."""

from __future__ import annotations

import ipaddress
from typing import Annotated

from msgspec import Meta

from pipeline.camera_config import Name, Section

# libzmq binds port 99999 without a word, as 34463.
_PORT = r"(\d{1,4}|[1-5]\d{4}|6[0-4]\d{3}|65[0-4]\d\d|655[0-2]\d|6553[0-5]|\*)"
Endpoint = Annotated[str, Meta(pattern=rf"^(tcp://[^/\s]+:{_PORT}|ipc://\S+)$")]


class SocketsConfig(Section, frozen=True, kw_only=True):
    """Addresses of the three ZeroMQ sockets; one that other machines can reach needs `security`."""

    results: Endpoint
    heatmaps: Endpoint
    replay: Endpoint
    send_queue_messages: Annotated[int, Meta(ge=1, le=1_000_000)] = 1_000


class SecurityConfig(Section, frozen=True, kw_only=True):
    """CURVE keys for addresses that other machines can reach; `hlgfa keys` makes them.

    `server_key` is the name of the station's pair in `keys_dir`. `allowed_dir` holds the public keys of the
    clients that may connect, null for `keys_dir`/allowed; it is read again when it changes.
    """

    keys_dir: str
    server_key: Name = "station"
    allowed_dir: str | None = None


def keys_are_missing(endpoint: str) -> str:
    """Why an address is refused that other machines can reach, and what to do."""
    return (
        f"found {endpoint}, which other machines can reach, without keys. Run: hlgfa keys make --out keys, "
        "and set security.keys_dir: keys in config.yaml; or set an address of loopback or ipc."
    )


def is_local(endpoint: str) -> bool:
    """Whether nothing off this machine can reach the address."""
    if endpoint.startswith("ipc://"):
        return True
    return is_loopback(endpoint.removeprefix("tcp://").rpartition(":")[0])


def is_loopback(host: str) -> bool:
    """Whether nothing off this machine can reach the host; a name other than localhost may be anything."""
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
