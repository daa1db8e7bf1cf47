"""Whether a station lets a client in, from what libzmq tells of the client's connection. Pure.

A station that does not know a key says nothing, it ends the connection (`gatekeeper`); so does one that the
client takes for another. To the client both look as a station that is silent, but for the failed handshake.
Events: https://libzmq.readthedocs.io/en/latest/zmq_socket_monitor.html
"""

from __future__ import annotations

import zmq

HANDSHAKE_FAILED = (
    zmq.Event.HANDSHAKE_FAILED_NO_DETAIL,
    zmq.Event.HANDSHAKE_FAILED_PROTOCOL,
    zmq.Event.HANDSHAKE_FAILED_AUTH,
)
EVENTS = (
    zmq.Event.HANDSHAKE_FAILED_NO_DETAIL
    | zmq.Event.HANDSHAKE_FAILED_PROTOCOL
    | zmq.Event.HANDSHAKE_FAILED_AUTH
    | zmq.Event.HANDSHAKE_SUCCEEDED
    | zmq.Event.CLOSED
)


class Admission:
    """`refused`: whoever answers at the address has ended the handshake, and has not let us in since."""

    def __init__(self) -> None:
        self.refused = False

    def take(self, event: int) -> None:
        """One event of the connection; `CLOSED` is that of an address where nobody answers."""
        if event in HANDSHAKE_FAILED:
            self.refused = True
        elif event in {zmq.Event.HANDSHAKE_SUCCEEDED, zmq.Event.CLOSED}:
            self.refused = False
