"""A cable to a camera that can be pulled: two joined network interfaces, each in a network of its own.

When the camera's end goes down this end loses its carrier, as with a pulled plug.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from support.private_network import CLONE_NEWNET, private_network

if TYPE_CHECKING:
    from collections.abc import Iterator

STATION, CAMERA = "10.77.0.1", "10.77.0.2"
_MTU = "9000"


class Cable:
    """Joins this thread's private network to another one, in which a camera may be started."""

    def __init__(self) -> None:
        with private_network():
            self._far = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        far = f"/proc/{os.getpid()}/fd/{self._far}"
        made = _ip("link", "add", "station", "mtu", _MTU, "type", "veth")
        if made.returncode != 0:
            pytest.skip(f"NO VIRTUAL ETHERNET here: {made.stderr.strip()}")
        _check("link", "set", "veth0", "name", "camera", "mtu", _MTU)
        _check("link", "set", "camera", "netns", far)
        _check("address", "add", f"{STATION}/24", "dev", "station")
        _check("link", "set", "station", "up")
        with self.far_end():
            _check("address", "add", f"{CAMERA}/24", "dev", "camera")
        self.plug_in()

    @contextmanager
    def far_end(self) -> Iterator[None]:
        """Have this thread, and what it starts, in the camera's network."""
        near = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            _enter(self._far)
            yield
        finally:
            _enter(near)
            os.close(near)

    def pull(self) -> None:
        """Pull the plug out of the camera."""
        with self.far_end():
            _check("link", "set", "camera", "down")

    def plug_in(self) -> None:
        """Put the plug in again."""
        with self.far_end():
            _check("link", "set", "camera", "up")

    def close(self) -> None:
        """Give the camera's network up."""
        os.close(self._far)


@contextmanager
def cable() -> Iterator[Cable]:
    """A private network with a cable in it; skips, and says why, where that cannot be."""
    if shutil.which("ip") is None:
        pytest.skip("NO CABLE: the command ip is missing. Install iproute2")
    with private_network():
        made = Cable()
        try:
            yield made
        finally:
            made.close()


def _enter(network: int) -> None:
    assert ctypes.CDLL(None, use_errno=True).setns(network, CLONE_NEWNET) == 0


def _ip(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)


def _check(*arguments: str) -> None:
    done = _ip(*arguments)
    assert done.returncode == 0, done.stderr
