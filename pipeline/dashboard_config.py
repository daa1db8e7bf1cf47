"""The section of config.yaml on the operator's page: where it is served, and who may see it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from pipeline.camera_config import Name, Section
from pipeline.gateway_config import FilePath, Host, Port
from pipeline.socket_config import is_loopback

if TYPE_CHECKING:
    from collections.abc import Iterator


class DashboardConfig(Section, frozen=True, kw_only=True):
    """What `hlgfa dashboard` serves; `hlgfa run` starts it beside the station while `enabled`.

    `token_file` holds the token alone, at least 16 characters; without one only this machine may look.
    `certificate` and `private_key` (PEM) switch TLS on. A browser gets at most `picture_hz` pictures a second
    and camera. `key`: name of the dashboard's own pair in security.keys_dir, for a station whose addresses
    want keys.
    """

    enabled: bool = True
    host: Host = "127.0.0.1"
    port: Port = 8470
    token_file: FilePath | None = None
    certificate: FilePath | None = None
    private_key: FilePath | None = None
    picture_hz: Annotated[float, Meta(gt=0, le=30)] = 5.0
    key: Name = "dashboard"


def find_errors(dashboard: DashboardConfig) -> Iterator[str]:
    """What contradicts itself or is not safe, as text: key, found, expected."""
    if not is_loopback(dashboard.host) and dashboard.token_file is None:
        yield (
            f"dashboard.host: found {dashboard.host!r} without token_file, expected a loopback address, or a "
            "token: other machines could change recipes. See docs/dashboard.md."
        )
    if (dashboard.certificate is None) != (dashboard.private_key is None):
        yield (
            "dashboard: found one of certificate and private_key, expected both or none (docs/dashboard.md)."
        )
