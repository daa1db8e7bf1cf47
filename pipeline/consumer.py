"""A reader that gets everything, even what was published while it was not running.

    with DurableConsumer("mes", results="tcp://...:5550", replay="tcp://...:5552") as consumer:
        for item in consumer:
            if isinstance(item, Message) and consumer.owns(item):
                store(item.header)          # what may come twice if this program dies before the next line
                consumer.acknowledge(item)

Its name stands in the station's config.yaml (`consumers:`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.client import ResultSubscriber
from pipeline.recovery import Recovery
from pipeline.requester import Requester
from pipeline.requests import AckReply, AckRequest, BacklogReply, BacklogRequest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Self

    from pipeline.access.keys import ClientKeys
    from pipeline.reader import Item, Message


class DurableConsumer:
    """Delivers from the first message that was not acknowledged on; `Lost` where the station gave up."""

    def __init__(
        self,
        name: str,
        *,
        results: str,
        replay: str,
        keys: ClientKeys | None = None,
        timeout_s: float = 10.0,
    ) -> None:
        """Connect and ask where to begin; a station on another machine wants `keys`.

        Raises:
            RequestError: the station does not answer in time, or has no such consumer.
            ConfigError: an address is not one that ZeroMQ can connect to.
        """
        self._name = name
        self._requester = Requester(replay, keys=keys)
        try:
            request = BacklogRequest(consumer=name)
            backlog = self._requester.ask(request, BacklogReply, timeout_s=timeout_s)
            recovery = Recovery(kinds=backlog.kinds, epoch=backlog.epoch, backlog=backlog.streams)
            self._recovery = recovery
            self._subscriber = ResultSubscriber(results, replay_endpoint=replay, keys=keys, recovery=recovery)
        except BaseException:
            self._requester.close()
            raise

    def owns(self, message: Message) -> bool:
        """Whether a message is of a kind that the station keeps for this consumer."""
        return self._recovery.handles(message.header.stream)

    def __iter__(self) -> Iterator[Item]:
        return iter(self._subscriber)

    def receive(self, timeout_s: float | None = None) -> Item | None:
        """The next message or notice; None if there was none in time."""
        return self._subscriber.receive(timeout_s)

    def acknowledge(self, message: Message, *, timeout_s: float = 5.0) -> None:
        """Say that this message, and all before it in its stream, are safely stored.

        Raises:
            RequestError: the station does not answer in time, or refuses.
        """
        header = message.header
        request = AckRequest(consumer=self._name, stream=header.stream, seq=header.seq, epoch=header.epoch)
        self._requester.ask(request, AckReply, timeout_s=timeout_s)

    def close(self) -> None:
        """Disconnect. Idempotent."""
        self._subscriber.close()
        self._requester.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
