"""A network of this thread's own: nothing but its loopback interface, so that no broadcast gets out."""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

CLONE_NEWNET = 0x40000000
_SIOCSIFFLAGS, _SIOCSIFADDR = 0x8914, 0x8916
_UP = 0x1


@contextmanager
def private_network(*addresses: str) -> Iterator[None]:
    """Move this thread, and what it starts, into a new network with 127.0.0.1 and `addresses`, then back."""
    if os.geteuid() != 0:
        pytest.skip(
            "NOT ROOT: a network of its own cannot be made, and discovery must not reach the real one"
        )
    libc = ctypes.CDLL(None, use_errno=True)
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        if libc.unshare(CLONE_NEWNET) != 0:
            pytest.skip(f"NO NETWORK NAMESPACES here: {os.strerror(ctypes.get_errno())}")
        try:
            _bring_up(addresses)
            yield
        finally:
            assert libc.setns(before, CLONE_NEWNET) == 0
    finally:
        os.close(before)


def _bring_up(addresses: tuple[str, ...]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", _UP))
        for number, address in enumerate(addresses):
            in_address = struct.pack("HH4s8x", socket.AF_INET, 0, socket.inet_aton(address))
            fcntl.ioctl(control, _SIOCSIFADDR, struct.pack("16s16s8x", f"lo:{number}".encode(), in_address))
