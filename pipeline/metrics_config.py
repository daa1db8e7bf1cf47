"""The section of config.yaml on `hlgfa metrics`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.camera_config import Name, Section
from pipeline.gateway_config import Host, Port
from pipeline.socket_config import is_loopback

if TYPE_CHECKING:
    from collections.abc import Iterator


class MetricsConfig(Section, frozen=True, kw_only=True):
    """Where `hlgfa metrics` answers Prometheus: HTTP without encryption and users.

    `key`: name of its own pair in security.keys_dir, for a station whose addresses want keys.
    """

    host: Host = "127.0.0.1"
    port: Port = 9464
    allow_unencrypted: bool = False
    key: Name = "metrics"


def find_metrics_errors(metrics: MetricsConfig) -> Iterator[str]:
    """What is not safe, as text: key, found, expected."""
    if not (is_loopback(metrics.host) or metrics.allow_unencrypted):
        yield (
            f"metrics.host: found {metrics.host!r}, expected a loopback address: HTTP has no encryption and "
            "no users. On a network that is trusted, set allow_unencrypted: true."
        )
