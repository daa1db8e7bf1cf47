"""A PLC that asks a station for triggers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import zmq

from pipeline import requests

Ask = Callable[..., requests.TriggerReply]


@contextlib.contextmanager
def plc_at(endpoint: str) -> Iterator[Ask]:
    """Ask for one trigger after the other; no answer within 5 s is `zmq.Again`."""
    with zmq.Context() as context, context.socket(zmq.REQ) as socket:
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RCVTIMEO, 5_000)
        socket.connect(endpoint)

        def ask(trigger_id: int, **ids: str) -> requests.TriggerReply:
            socket.send(requests.encode(requests.TriggerRequest(trigger_id=trigger_id, **ids)))
            return _trigger_reply(socket.recv())

        yield ask


def ask_at_once(endpoint: str, trigger_ids: range) -> list[requests.TriggerReply]:
    """Ask for all of these triggers without waiting for an answer in between; then the answers."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.setsockopt(zmq.RCVTIMEO, 5_000)
        socket.connect(endpoint)
        for trigger_id in trigger_ids:
            socket.send(requests.encode(requests.TriggerRequest(trigger_id=trigger_id)))
        return [_trigger_reply(socket.recv()) for _ in trigger_ids]


def _trigger_reply(data: bytes) -> requests.TriggerReply:
    reply = requests.decode_reply(data)
    assert isinstance(reply, requests.TriggerReply)
    return reply
