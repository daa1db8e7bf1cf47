"""Hostile clients as processes: `python -m support.floods KIND PORT` floods from 127.0.0.2 until killed."""

import itertools
import socket
import struct
import sys
from pathlib import Path

import zmq

from pipeline.access.keys import load_client_keys
from pipeline.sockets import show_keys

LONG_FRAME = b"\x03" + struct.pack(">Q", 16_000) + bytes(16_000)
"""ZMTP: long, and more frames follow."""


def connect(port):
    return socket.create_connection(("127.0.0.1", port), source_address=("127.0.0.2", 0))


def shake_hands(port, kind):
    """A raw connection that has passed the handshake without keys as a socket of this kind."""
    raw = connect(port)
    raw.sendall(b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32))
    ready = b"\x05READY\x0bSocket-Type" + struct.pack(">I", len(kind)) + kind
    raw.sendall(b"\x04" + bytes([len(ready)]) + ready)
    return raw


def endless(port):
    """One message that never ends, again and again."""
    while True:
        try:
            with shake_hands(port, b"DEALER") as raw:
                while True:
                    raw.sendall(LONG_FRAME)
        except OSError:
            pass


def requests(port):
    """As many requests as a DEALER can send; answers are read."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.connect(f"tcp://127.0.0.2:0;127.0.0.1:{port}")
        while True:
            dealer.send(b'{"op":"snapshot"}')
            while dealer.poll(0):
                dealer.recv()


def subscriptions(port):
    """Ever new topics, as long as they are allowed to be, of a client that is allowed to connect."""
    folder = Path(sys.argv[3])
    keys = load_client_keys(secret=folder / "plc1.key_secret", server=folder / "station.key")
    with zmq.Context() as context, context.socket(zmq.XSUB) as subscriber:
        show_keys(subscriber, keys)
        subscriber.setsockopt(zmq.SNDHWM, 0)
        subscriber.connect(f"tcp://127.0.0.2:0;127.0.0.1:{port}")
        for number in itertools.count():
            subscriber.send(b"\x01%d-" % number + b"x" * 140)


def connections(port):
    """Ever new connections that say nothing."""
    kept = []
    while True:
        try:
            kept.append(connect(port))
        except OSError:
            kept.clear()


if __name__ == "__main__":
    {flood.__name__: flood for flood in (endless, requests, subscriptions, connections)}[sys.argv[1]](
        int(sys.argv[2])
    )
