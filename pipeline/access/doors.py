"""The station's bound sockets with all that guards them: keys, the allow-list, limits, refusals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import zmq

from pipeline.access.connections import Connections, Guard
from pipeline.access.gatekeeper import Gatekeeper
from pipeline.access.limits import UNREAD_REQUEST_BYTES, UNREAD_SUBSCRIPTION_BYTES, Bans
from pipeline.access.refusals import Refusals
from pipeline.sockets import bind_socket

if TYPE_CHECKING:
    from pipeline.access.keys import StationKeys
    from pipeline.socket_config import SocketsConfig


class Doors:
    """Opens sockets and closes them all; one thread only, as ZeroMQ wants it.

    With `keys` the gatekeeper is there before the first socket: without it libzmq lets every key in.
    """

    def __init__(self, sockets: SocketsConfig, keys: StationKeys | None) -> None:
        self.refusals = Refusals()
        self._config, self._keys = sockets, keys
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._bans = Bans()
        self._sockets: list[zmq.Socket[bytes]] = []
        self._connections: list[Connections] = []
        self._guard: Guard | None = None
        self._gatekeeper: Gatekeeper | None = None
        if keys is not None:
            self._gatekeeper = Gatekeeper(
                self._context, keys.allowed, bans=self._bans, refusals=self.refusals
            )

    def open(self, kind: int, what: str) -> tuple[zmq.Socket[bytes], Connections]:
        """Bind the address that is called `what` in the configuration; it demands keys if it is not local.

        Raises:
            ConfigError: the address is in use, cannot be bound, or needs keys.
        """
        bound = bind_socket(
            self._context,
            kind,
            getattr(self._config, what),
            what=what,
            queue_messages=self._config.send_queue_messages,
            keys=None if self._keys is None else self._keys.pair,
        )
        self._sockets.append(bound)
        unread = UNREAD_SUBSCRIPTION_BYTES if kind == zmq.XPUB else UNREAD_REQUEST_BYTES
        connections = Connections(bound, what, unread_bytes=unread, bans=self._bans)
        self._connections.append(connections)
        return bound, connections

    def guard(self) -> None:
        """Look after the connections from now on; after the last socket is open."""
        self._guard = Guard(self._connections)

    @property
    def bell(self) -> tuple[zmq.Socket[bytes], ...]:
        """What to poll beside the sockets: where libzmq asks who may come in."""
        return () if self._gatekeeper is None else (self._gatekeeper.socket,)

    def serve(self, now_ns: int) -> None:
        """Answer who may come in."""
        if self._gatekeeper is not None:
            self._gatekeeper.serve(now_ns)

    def watch(self, now_ns: int) -> None:
        """Put out whose key was taken out of the allow-list, and take in which clients were put out."""
        if self._gatekeeper is not None:
            known = self._gatekeeper.known(now_ns)
            for connections in self._connections:
                connections.keep(known)
        for text in [text for connections in self._connections for text in connections.told()]:
            self.refusals.note("connections", text)
        if self._guard is not None and not self._guard.alive:
            self.refusals.note(
                "nothing any more", "the guard of the connections has died. Restart the station."
            )

    def close(self) -> None:
        """Close the sockets; what is under way has 100 ms to leave. Idempotent."""
        if self._guard is not None:
            self._guard.close()
        for connections in self._connections:
            connections.close()
        for bound in self._sockets:
            bound.close()
        if self._gatekeeper is not None:
            self._gatekeeper.close()
        self._context.destroy()
