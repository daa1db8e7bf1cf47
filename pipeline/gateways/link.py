"""The gateway's two sockets to the station: what it publishes, and requests to it. For one asyncio loop.

Rules:
1. What is under way is bounded: the subscriber is read one item at a time, the rest waits in its socket and
   is dropped there, which shows as a gap. The station is never waited for and never slowed.
2. A trigger is sent only over a connection that stands, and never again: after a time without answer the
   socket is thrown away with everything in it, so that no old trigger reaches a restarted station.
3. What was missed is not asked for again: it would hold up what comes after it, and no PLC may act on it any
   more. Who needs all of it is a durable consumer (docs/journal.md).
"""

from __future__ import annotations

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import msgspec
import zmq
import zmq.asyncio

from pipeline.access.keys import load_local_keys
from pipeline.client import ResultSubscriber, connect
from pipeline.config import ConfigError
from pipeline.messages import Reason
from pipeline.requests import ChangeoverReply, ErrorReply, TriggerReply, decode_reply, encode
from pipeline.socket_config import is_local
from pipeline.wire import MessageError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine

    from pipeline.access.keys import ClientKeys
    from pipeline.client import Message
    from pipeline.config import Config
    from pipeline.requests import ChangeoverRequest, TriggerRequest
    from pipeline.stream_check import Notice

Answer = TriggerReply | ChangeoverReply | ErrorReply
TURN_S = 0.05
"""How long the reading thread waits before it looks whether it is to end."""


class StationLink:
    """Hears one station and hands triggers to it; both reconnect by themselves."""

    def __init__(self, config: Config) -> None:
        """Connect; a station that is not there yet is waited for.

        Raises:
            ConfigError: an address has no fixed port or cannot be connected to, or its keys cannot be used.
        """
        sockets, station = config.sockets, config.station
        for name, endpoint in (("results", sockets.results), ("replay", sockets.replay)):
            if endpoint.endswith(":*"):
                raise ConfigError(
                    f"sockets.{name}: found {endpoint}, expected a fixed port: a gateway cannot find it else."
                )
        self._endpoint, self._keys = reachable(sockets.replay), _keys(config, sockets.replay)
        self._timeout_s = station.deadline_ms / 1000
        self._context = zmq.asyncio.Context()
        self._dealer = self._connect()
        self._subscriber = ResultSubscriber(
            reachable(sockets.results),
            line=station.line,
            station=station.name,
            keys=_keys(config, sockets.results),
        )
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="station")
        self._answers: asyncio.Task[None] | None = None
        self._asked: dict[str, asyncio.Future[Answer]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._number = 0

    async def items(self) -> AsyncGenerator[Message | Notice | None, None]:
        """Messages and notices as they come, None at least every 50 ms; without end."""
        loop = asyncio.get_running_loop()
        while True:
            yield await loop.run_in_executor(self._thread, self._subscriber.receive, TURN_S)

    def hand_over(self, request: TriggerRequest, on_refused: Callable[[TriggerReply], None]) -> None:
        """Hand a trigger to the station without waiting; `on_refused` hears if it was not taken."""

        async def ask() -> None:
            reply = await self.trigger(request)
            if not reply.taken:
                on_refused(msgspec.structs.replace(reply, trigger_id=request.trigger_id))

        self._begin(ask())

    def hand_over_changeover(self, request: ChangeoverRequest) -> None:
        """Ask the station for a changeover without waiting; its status says when the recipe is active."""

        async def ask() -> None:
            await self.changeover(request)

        self._begin(ask())

    def _begin(self, asking: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(asking)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def trigger(self, request: TriggerRequest) -> TriggerReply:
        """Hand a trigger to the station; a station that does not answer has not taken it."""
        answer = await self._ask(request)
        if isinstance(answer, TriggerReply):
            return answer
        return TriggerReply(
            trigger_id=request.trigger_id,
            taken=False,
            reason_code=int(Reason.STATION_SILENT if answer is None else Reason.RECIPE_NOT_READY),
            reason=_why(answer),
        )

    async def changeover(self, request: ChangeoverRequest) -> ChangeoverReply:
        """Ask the station for a changeover; a station that does not answer has not begun it."""
        answer = await self._ask(request)
        if isinstance(answer, ChangeoverReply):
            return answer
        return ChangeoverReply(recipe=request.recipe, accepted=False, reason=_why(answer))

    async def _ask(self, request: TriggerRequest | ChangeoverRequest) -> Answer | None:
        """The station's answer, None if there is none in time."""
        if self._answers is None:
            self._answers = asyncio.get_running_loop().create_task(self._take_answers(self._dealer))
        self._number += 1
        number = str(self._number)
        answer = self._asked[number] = asyncio.get_running_loop().create_future()
        try:
            await self._dealer.send(encode(msgspec.structs.replace(request, request_id=number)), zmq.DONTWAIT)
            return await asyncio.wait_for(answer, self._timeout_s)
        except (zmq.Again, asyncio.TimeoutError):
            self._start_anew()
            return None
        finally:
            self._asked.pop(number, None)

    async def _take_answers(self, dealer: zmq.asyncio.Socket) -> None:
        while True:
            frames = await dealer.recv_multipart()
            with contextlib.suppress(MessageError):
                reply = decode_reply(frames[-1])
                answer = self._asked.get(reply.request_id or "")
                if answer is None or answer.done():
                    continue
                if isinstance(reply, TriggerReply | ChangeoverReply | ErrorReply):
                    answer.set_result(reply)

    def _connect(self) -> zmq.asyncio.Socket:
        dealer = self._context.socket(zmq.DEALER)
        dealer.setsockopt(zmq.IMMEDIATE, 1)
        return connect(dealer, self._endpoint, self._keys)

    def _start_anew(self) -> None:
        """Throw the socket away, and with it what the station has not read."""
        if self._answers is not None:
            self._answers.cancel()
            self._answers = None
        self._dealer.close()
        self._dealer = self._connect()

    async def close(self) -> None:
        """Disconnect. Idempotent."""
        tasks = [*self._tasks, *([self._answers] if self._answers is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._answers = None
        self._thread.shutdown()
        self._subscriber.close()
        self._context.destroy(linger=0)


def reachable(endpoint: str) -> str:
    """Where a client on the station's machine connects to: an address for all networks is none to go to."""
    for everywhere, here in (
        ("tcp://*:", "127.0.0.1"),
        ("tcp://0.0.0.0:", "127.0.0.1"),
        ("tcp://[::]:", "[::1]"),
    ):
        if endpoint.startswith(everywhere):
            return f"tcp://{here}:{endpoint.removeprefix(everywhere)}"
    return endpoint


def _keys(config: Config, endpoint: str) -> ClientKeys | None:
    """The gateway's keys, None for an address that wants none."""
    if config.security is None or is_local(endpoint):
        return None
    assert config.gateways is not None
    return load_local_keys(config.security, config.gateways.key)


def _why(answer: Answer | None) -> str:
    """Why a request was not taken."""
    return answer.text if isinstance(answer, ErrorReply) else "the station does not answer"
