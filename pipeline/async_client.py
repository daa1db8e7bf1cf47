"""The readers of `client` and `consumer` for asyncio: the same `Reader`, other sockets.

    async with AsyncResultSubscriber(results, replay_endpoint=replay) as subscriber:
        async for item in subscriber:
            ...

What is said there of messages and notices holds here, too.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import TYPE_CHECKING

import msgspec
import zmq
import zmq.asyncio
from zmq.utils.monitor import parse_monitor_message

from pipeline.access.admission import EVENTS, Admission
from pipeline.client import connect, connect_reader, prefix_of
from pipeline.config import ConfigError
from pipeline.reader import ANY, Reader
from pipeline.recovery import Recovery
from pipeline.requester import RETRY_S, Pace, RequestError, no_answer, passing, refusal
from pipeline.requests import AckReply, AckRequest, BacklogReply, BacklogRequest, decode_reply, encode

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from typing_extensions import Self

    from pipeline.access.keys import ClientKeys
    from pipeline.reader import Item, Message
    from pipeline.requests import Reply, Request


class AsyncResultSubscriber:
    """As `client.ResultSubscriber`; one task at a time may receive."""

    def __init__(
        self,
        endpoint: str,
        *,
        heatmaps_endpoint: str | None = None,
        replay_endpoint: str | None = None,
        line: str = ANY,
        station: str = ANY,
        max_age_ms: float = 500.0,
        keys: ClientKeys | None = None,
        recovery: Recovery | None = None,
        queue_messages: int | None = None,
    ) -> None:
        """Connect; a publisher that is not there yet is waited for.

        `queue_messages` may wait in each of this reader's sockets, None: as many as ZeroMQ sees fit.

        Raises:
            ConfigError: an address is not one that ZeroMQ can connect to.
        """
        if recovery is None and replay_endpoint is not None:
            recovery = Recovery()
        self.reader = Reader(line=line, station=station, max_age_ms=max_age_ms, recovery=recovery)
        self._context = zmq.asyncio.Context()
        addresses, prefix = (endpoint, heatmaps_endpoint, replay_endpoint), prefix_of(line, station)
        sockets, self._dealer = connect_reader(self._context, addresses, prefix, keys, queue_messages)
        self._results = sockets[0]
        self._poller = zmq.asyncio.Poller()
        for source in sockets:
            self._poller.register(source, zmq.POLLIN)

    async def receive(self, timeout_s: float | None = None) -> Item | None:
        """The next message or notice; None if there was none in time."""
        reader = self.reader
        end_ns = None if timeout_s is None else reader.now_ns() + int(timeout_s * 1e9)
        while not reader.items:
            request = reader.request()
            if request is not None and self._dealer is not None:
                await self._dealer.send(request)
            sources = await self._poller.poll(reader.wait_ms(end_ns))
            for source, _ in sources:
                take = reader.answer if source is self._dealer else reader.take
                take(await source.recv_multipart())
            if not sources:
                reader.note_stale()
                if not reader.items and end_ns is not None and reader.now_ns() >= end_ns:
                    return None
        return reader.items.popleft()

    async def __aiter__(self) -> AsyncIterator[Item]:
        while True:
            item = await self.receive()
            if item is not None:
                yield item

    async def watch(self, admission: Admission) -> None:
        """Tell it, without end, whether the publisher of the results lets this reader in; call it once."""
        monitor = self._results.get_monitor_socket(EVENTS)
        while True:
            admission.take(parse_monitor_message(await monitor.recv_multipart())["event"])

    def close(self) -> None:
        """Disconnect. Idempotent."""
        self._context.destroy(linger=0)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.close()


class AsyncDurableConsumer:
    """As `consumer.DurableConsumer`; made by `open`."""

    def __init__(self, name: str, dealer: _AsyncRequester, subscriber: AsyncResultSubscriber) -> None:
        """Take over what `open` has connected."""
        self._name, self._requester, self.subscriber = name, dealer, subscriber

    @classmethod
    async def open(
        cls,
        name: str,
        *,
        results: str,
        replay: str,
        keys: ClientKeys | None = None,
        timeout_s: float = 10.0,
    ) -> Self:
        """Connect and ask where to begin; a station on another machine wants `keys`.

        Raises:
            RequestError: the station does not answer in time, or has no such consumer.
            ConfigError: an address is not one that ZeroMQ can connect to.
        """
        requester = _AsyncRequester(replay, keys)
        try:
            reply = await requester.ask(BacklogRequest(consumer=name), timeout_s)
            if not isinstance(reply, BacklogReply):
                raise RequestError(refusal(BacklogRequest(consumer=name), reply))
            recovery = Recovery(kinds=reply.kinds, epoch=reply.epoch, backlog=reply.streams)
            subscriber = AsyncResultSubscriber(results, replay_endpoint=replay, keys=keys, recovery=recovery)
        except BaseException:
            requester.close()
            raise
        return cls(name, requester, subscriber)

    async def receive(self, timeout_s: float | None = None) -> Item | None:
        """The next message or notice; None if there was none in time."""
        return await self.subscriber.receive(timeout_s)

    async def acknowledge(self, message: Message, *, timeout_s: float = 5.0) -> None:
        """Say that this message, and all before it in its stream, are safely stored.

        Raises:
            RequestError: the station does not answer in time, or refuses.
        """
        header = message.header
        request = AckRequest(consumer=self._name, stream=header.stream, seq=header.seq, epoch=header.epoch)
        reply = await self._requester.ask(request, timeout_s)
        if not isinstance(reply, AckReply):
            raise RequestError(refusal(request, reply))

    def close(self) -> None:
        """Disconnect. Idempotent."""
        self.subscriber.close()
        self._requester.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.close()


class _AsyncRequester:
    """One question after another, sent again every second until answered."""

    def __init__(self, endpoint: str, keys: ClientKeys | None) -> None:
        self._numbers = itertools.count(1)
        self._pace = Pace()
        self._context = zmq.asyncio.Context()
        try:
            self._socket = connect(self._context.socket(zmq.DEALER), endpoint, keys)
        except ConfigError:
            self.close()
            raise

    async def ask(self, request: Request, timeout_s: float) -> Reply:
        request_id = f"request-{next(self._numbers)}"
        data = encode(msgspec.structs.replace(request, request_id=request_id))
        await asyncio.sleep(self._pace.delay_s(time.monotonic()))
        end_s = time.monotonic() + timeout_s
        while (left_s := end_s - time.monotonic()) > 0:
            await self._socket.send(data)
            while await self._socket.poll(int(min(1.0, left_s) * 1e3) + 1):
                reply = decode_reply((await self._socket.recv_multipart())[0])
                if reply.request_id == request_id:
                    if not passing(reply):
                        return reply
                    await asyncio.sleep(RETRY_S)
                    break
        raise RequestError(no_answer(request, timeout_s))

    def close(self) -> None:
        self._context.destroy(linger=0)
