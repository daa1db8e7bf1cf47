"""Questions of the page to the station's ROUTER, in the words of docs/wire.md.

A socket for every question: no old answer can be taken for this one, and what the station does not read in
time is thrown away with the socket, so that no change of recipe happens later than it was asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import zmq
import zmq.asyncio

from pipeline.client import connect
from pipeline.dashboard.feed import fixed, keys_for

if TYPE_CHECKING:
    from pipeline.config import Config

TIMEOUT_MS = 2_000
MAX_ANSWER_BYTES = 1024 * 1024


class Asker:
    """A client of one station's ROUTER."""

    def __init__(self, config: Config) -> None:
        """Note where the station is; nothing is connected yet.

        Raises:
            ConfigError: the address has no fixed port, or its keys cannot be used.
        """
        self._endpoint = fixed("replay", config.sockets.replay)
        self._keys = keys_for(config, config.sockets.replay)
        self._context = zmq.asyncio.Context()

    async def ask(self, request: dict[str, Any], timeout_ms: int = TIMEOUT_MS) -> dict[str, Any] | None:
        """The answer; None if there was none in time, `op` is `error` if the station refuses."""
        socket = self._context.socket(zmq.DEALER)
        socket.setsockopt(zmq.IMMEDIATE, 1)
        try:
            connect(socket, self._endpoint, self._keys)
            socket.setsockopt(zmq.SNDTIMEO, timeout_ms)
            await socket.send(msgspec.json.encode(request))
            if not await socket.poll(timeout_ms):
                return None
            return _decoded((await socket.recv_multipart())[0])
        except zmq.Again:
            return None
        finally:
            socket.close(linger=0)

    async def operations(self) -> list[str]:
        """What the station says that it serves; empty if it does not answer."""
        reply = await self.ask({"op": "hello"})
        named = None if reply is None else reply.get("operations")
        return [name for name in named if isinstance(name, str)] if isinstance(named, list) else []

    def close(self) -> None:
        """Disconnect. Idempotent."""
        self._context.destroy(linger=0)


def _decoded(data: bytes) -> dict[str, Any] | None:
    if len(data) > MAX_ANSWER_BYTES:
        return None
    try:
        found: dict[str, Any] = msgspec.json.decode(data, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return found
