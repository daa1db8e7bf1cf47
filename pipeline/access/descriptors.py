"""Descriptors of connections that libzmq owns: which they are, what they have received, and ending them.

A descriptor's number may belong to another file by the time that it is used, so everything here works on a
duplicate, once that has shown to be the socket that was meant.
"""

from __future__ import annotations

import os
import socket
import stat
import struct

# Where the kernel's struct tcp_info (linux/tcp.h) has tcpi_bytes_received, in it since Linux 4.1.
_BYTES_RECEIVED_AT, _BYTES_RECEIVED = 128, struct.Struct("@Q")


def identity(descriptor: int) -> int | None:
    """A number that no other socket of this machine has, None if the descriptor is no open socket."""
    try:
        status = os.fstat(descriptor)
    except OSError:
        return None
    return status.st_ino if stat.S_ISSOCK(status.st_mode) else None


def address_of(descriptor: int) -> str:
    """Address of the other end, without its port; empty for one on this machine by ipc."""
    try:
        with socket.socket(fileno=os.dup(descriptor)) as connection:
            name = connection.getpeername()
    except OSError:
        return ""
    return str(name[0]) if isinstance(name, tuple) else ""


def put_out(descriptor: int, expected: int) -> bool:
    """End a connection if it is still the socket with this identity."""
    try:
        with socket.socket(fileno=os.dup(descriptor)) as connection:
            if identity(connection.fileno()) != expected:
                return False
            connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return False
    return True


def received_bytes(descriptor: int, expected: int) -> int | None:
    """Bytes that TCP has taken in for a connection; None if it has ended or is none of TCP."""
    try:
        with socket.socket(fileno=os.dup(descriptor)) as connection:
            if identity(connection.fileno()) != expected:
                return None
            length = _BYTES_RECEIVED_AT + _BYTES_RECEIVED.size
            info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, length)
    except OSError:
        return None
    if len(info) < length:
        return None
    return int(_BYTES_RECEIVED.unpack_from(info, _BYTES_RECEIVED_AT)[0])
