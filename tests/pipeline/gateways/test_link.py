"""Triggers on their way to the station: refused in time, and never delivered later."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import zmq

from pipeline.access.key_maker import make_keys
from pipeline.config import Config, ConfigError
from pipeline.gateways.link import StationLink, reachable
from pipeline.messages import Reason
from pipeline.requests import ErrorReply, TriggerReply, TriggerRequest, decode_request, encode
from pipeline.socket_config import SecurityConfig
from support.gateways import free_port, line_with

DEADLINE_MS = 300
QUIET_MS = 300


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return line_with(tmp_path, {"modbus": {"port": free_port()}}, deadline_ms=DEADLINE_MS)


@contextlib.contextmanager
def router_at(endpoint: str) -> Iterator[zmq.Socket[bytes]]:
    with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
        router.setsockopt(zmq.LINGER, 0)
        router.bind(endpoint)
        yield router


def test_without_a_station_a_trigger_is_refused_at_once_and_not_kept(config: Config) -> None:
    async def play() -> TriggerReply:
        link = StationLink(config)
        try:
            begun = time.monotonic()
            reply = await link.trigger(TriggerRequest(trigger_id=1))
            assert time.monotonic() - begun < DEADLINE_MS / 1000
            with router_at(config.sockets.replay) as router:
                assert not await asyncio.to_thread(router.poll, QUIET_MS)
        finally:
            await link.close()
        return reply

    reply = asyncio.run(play())
    assert (reply.taken, reply.reason_code) == (False, Reason.STATION_SILENT)


async def connected(link: StationLink, router: zmq.Socket[bytes]) -> list[bytes]:
    """Ask until the connection stands; returns the frames of the first request that came through."""
    task = asyncio.ensure_future(link.trigger(TriggerRequest(trigger_id=0)))
    while not await asyncio.to_thread(router.poll, 20):
        if task.done():
            task = asyncio.ensure_future(link.trigger(TriggerRequest(trigger_id=0)))
    frames = router.recv_multipart()
    router.send_multipart([frames[0], encode(answer(frames[-1], taken=True))])
    await task
    return frames


def answer(request: bytes, *, taken: bool) -> TriggerReply:
    found = decode_request(request)
    assert isinstance(found, TriggerRequest)
    return TriggerReply(trigger_id=found.trigger_id, taken=taken, request_id=found.request_id)


def test_answers_find_their_triggers_in_any_order(config: Config) -> None:
    async def play() -> list[TriggerReply]:
        link = StationLink(config)
        with router_at(config.sockets.replay) as router:
            try:
                await connected(link, router)
                asked = [
                    asyncio.ensure_future(link.trigger(TriggerRequest(trigger_id=number)))
                    for number in (1, 2, 3)
                ]
                frames = [await asyncio.to_thread(router.recv_multipart) for _ in asked]
                name = frames[0][0]
                router.send_multipart([name, b"not an answer"])
                router.send_multipart([name, encode(answer(frames[2][-1], taken=True))])
                router.send_multipart([name, encode(answer(frames[0][-1], taken=True))])
                number = decode_request(frames[1][-1]).request_id
                refusal = ErrorReply(error="malformed", text="no", request_id=number)
                router.send_multipart([name, encode(refusal)])
                return await asyncio.gather(*asked)
            finally:
                await link.close()

    replies = asyncio.run(play())
    assert [(reply.trigger_id, reply.taken) for reply in replies] == [(1, True), (2, False), (3, True)]
    assert replies[1].reason == "no"


@pytest.mark.parametrize(
    ("endpoint", "here"),
    [
        ("tcp://*:5550", "tcp://127.0.0.1:5550"),
        ("tcp://0.0.0.0:5550", "tcp://127.0.0.1:5550"),
        ("tcp://[::]:5550", "tcp://[::1]:5550"),
        ("tcp://10.0.0.5:5550", "tcp://10.0.0.5:5550"),
        ("ipc:///run/results", "ipc:///run/results"),
    ],
)
def test_a_station_at_all_addresses_is_reached_at_one(endpoint: str, here: str) -> None:
    assert reachable(endpoint) == here


def test_a_station_with_keys_wants_one_of_the_gateway(tmp_path: Path) -> None:
    make_keys(tmp_path / "keys", "station")
    config = line_with(tmp_path, {"modbus": {"port": free_port()}})
    sockets = msgspec.structs.replace(config.sockets, replay="tcp://0.0.0.0:5552")
    security = SecurityConfig(keys_dir=str(tmp_path / "keys"))
    with pytest.raises(ConfigError, match=r"gateway\.key_secret: cannot be read .* Run: hlgfa keys make"):
        StationLink(msgspec.structs.replace(config, sockets=sockets, security=security))


def test_a_station_that_does_not_answer_has_not_taken_it(config: Config) -> None:
    async def play() -> tuple[TriggerReply, float]:
        link = StationLink(config)
        with router_at(config.sockets.replay) as router:
            try:
                await connected(link, router)
                begun = time.monotonic()
                reply = await link.trigger(TriggerRequest(trigger_id=5))
                took_s = time.monotonic() - begun
                await connected(link, router)  # over a new socket
            finally:
                await link.close()
        return reply, took_s

    reply, took_s = asyncio.run(play())
    assert (reply.taken, reply.reason_code) == (False, Reason.STATION_SILENT)
    assert took_s == pytest.approx(DEADLINE_MS / 1000, abs=0.2)
