"""A whole station at addresses that other machines can reach: readers need a key, and all work with one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq

from pipeline.access.key_maker import allow_key, make_keys
from pipeline.access.keys import ClientKeys, load_client_keys
from pipeline.access.limits import REQUESTS_AT_ONCE
from pipeline.async_client import AsyncDurableConsumer, AsyncResultSubscriber
from pipeline.client import Message, ResultSubscriber, connect
from pipeline.config import Config, parse_config
from pipeline.consumer import DurableConsumer
from pipeline.gateways.link import StationLink, reachable
from pipeline.reader import Item
from pipeline.requester import Requester, RequestError
from pipeline.requests import (
    BacklogReply,
    BacklogRequest,
    ErrorReply,
    TriggerReply,
    TriggerRequest,
    decode_reply,
)
from pipeline.stream_check import Lost, Stale
from support.gateways import free_port
from support.lines import PATIENCE_S, folder_camera, make_raw_config, paint_parts
from support.readers import Running, results_of, take_until

ALLOWED = ("mes", "gateway")
SHORT_S = 1.0


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Keys of a station, of clients that it allows, and of a stranger."""
    station = tmp_path / "keys"
    for name in ("station", *ALLOWED, "stranger"):
        make_keys(station, name)
    for name in ALLOWED:
        allow_key(station, station / f"{name}.key", name=name)
    return tmp_path


def keys_of(root: Path, name: str) -> ClientKeys:
    return load_client_keys(secret=root / "keys" / f"{name}.key_secret", server=root / "keys" / "station.key")


def make_config(root: Path, **camera: Any) -> Config:
    parts = paint_parts(root / "parts", 10, defect_every=99)
    raw = make_raw_config(root, [folder_camera(parts, loop=True, **camera)], status_period_ms=50)
    raw["sockets"] = {name: f"tcp://0.0.0.0:{free_port()}" for name in ("results", "heatmaps", "replay")}
    raw |= {"security": {"keys_dir": str(root / "keys")}, "consumers": [{"name": "mes"}]}
    return parse_config(raw | {"gateways": {"modbus": {"port": free_port()}}}, origin="test")


@pytest.fixture
def config(root: Path) -> Config:
    return make_config(root)


@pytest.fixture
def start() -> Iterator[Callable[..., Running]]:
    started: list[Running] = []

    def start(config: Config, **options: Any) -> Running:
        started.append(Running(config, **options))
        return started[-1]

    yield start
    for running in started:
        running.stop()


def addresses(config: Config) -> dict[str, str]:
    return {"results": reachable(config.sockets.results), "replay": reachable(config.sockets.replay)}


def refused(running: Running) -> dict[str, int]:
    """What clients were refused, by kind."""
    return dict(running.station._publisher.refusals.counts)


def test_a_reader_with_a_key_recovers_what_it_missed(
    root: Path, config: Config, start: Callable[..., Running]
) -> None:
    """The first of what it gets comes from the journal: by its request, the historian, and back."""
    keys = keys_of(root, "mes")
    station = start(config)
    with DurableConsumer("mes", keys=keys, **addresses(config)) as consumer:
        items: list[Item] = []
        take_until(consumer.receive, items, lambda: len(results_of(items)) >= 30)
        last = next(i for i in reversed(items) if isinstance(i, Message) and consumer.owns(i))
        consumer.acknowledge(last)
    assert [result.seq for result in results_of(items)] == list(range(1, len(results_of(items)) + 1))
    assert not [item for item in items if isinstance(item, Lost)]
    with Requester(reachable(config.sockets.replay), keys=keys) as requester:
        result = requester.snapshot(timeout_s=PATIENCE_S).results[0]
        assert requester.heatmap(result.result_id) is not None
    assert not refused(station)


def test_asyncio_readers_with_a_key_get_the_same(
    root: Path, config: Config, start: Callable[..., Running]
) -> None:
    start(config)
    keys = keys_of(root, "mes")

    async def read() -> list[Item]:
        items: list[Item] = []
        async with await AsyncDurableConsumer.open("mes", keys=keys, **addresses(config)) as consumer:
            while len(results_of(items)) < 10:
                item = await consumer.receive(PATIENCE_S)
                assert item is not None
                items.append(item)
        places = addresses(config)
        async with AsyncResultSubscriber(
            places["results"], replay_endpoint=places["replay"], keys=keys
        ) as subscriber:
            while len(results_of(items)) < 20:
                item = await subscriber.receive(PATIENCE_S)
                assert item is not None
                items.append(item)
        return items

    found = results_of(asyncio.run(read()))
    assert [result.seq for result in found[:10]] == list(range(1, 11))


@pytest.mark.parametrize("who", ["stranger", None])
def test_who_is_not_allowed_hears_nothing_and_gets_nothing_from_the_record(
    root: Path, config: Config, start: Callable[..., Running], who: str | None
) -> None:
    station = start(config)
    keys = None if who is None else keys_of(root, who)
    with Requester(reachable(config.sockets.replay), keys=keys_of(root, "mes")) as known:
        known.ask(BacklogRequest(consumer="mes"), BacklogReply, timeout_s=PATIENCE_S)
        with (
            Requester(reachable(config.sockets.replay), keys=keys) as requester,
            ResultSubscriber(reachable(config.sockets.results), keys=keys) as subscriber,
        ):
            with pytest.raises(RequestError, match="no answer"):
                requester.ask(BacklogRequest(consumer="mes"), BacklogReply, timeout_s=SHORT_S)
            assert subscriber.receive(SHORT_S) in {None, Stale("")}
        known.ask(BacklogRequest(consumer="mes"), BacklogReply, timeout_s=PATIENCE_S)
    assert bool(refused(station)) == (who is not None)


def test_a_gateway_beside_the_station_has_a_key_of_its_own(root: Path, start: Callable[..., Running]) -> None:
    config = make_config(root, trigger={"source": "software"})
    start(config)

    async def play() -> tuple[TriggerReply, list[Item]]:
        link = StationLink(config)
        items: list[Item] = []
        try:
            async for item in link.items():
                if isinstance(item, Message) and getattr(item.header, "ready", False):
                    break
            reply = await link.trigger(TriggerRequest(trigger_id=7))
            async for item in link.items():
                items += [] if item is None else [item]
                if results_of(items):
                    return reply, items
        finally:
            await link.close()
        raise AssertionError

    reply, items = asyncio.run(asyncio.wait_for(play(), PATIENCE_S))
    assert reply.taken
    assert results_of(items)[0].trigger_id == 7


def test_a_client_that_asked_too_much_waits_and_is_served(
    root: Path, config: Config, start: Callable[..., Running]
) -> None:
    """All connections with one key have one budget."""
    station = start(config)
    keys, replay = keys_of(root, "mes"), reachable(config.sockets.replay)
    with (
        zmq.Context() as context,
        context.socket(zmq.DEALER) as client,
        Requester(replay, keys=keys) as requester,
    ):
        requester.snapshot(timeout_s=PATIENCE_S)
        connect(client, replay, keys)
        for number in range(2 * REQUESTS_AT_ONCE):
            client.send(b'{"op":"hello","request_id":"%d"}' % number)
        refusal = next(
            reply
            for reply in iter(lambda: decode_reply(client.recv_multipart()[-1]), None)
            if isinstance(reply, ErrorReply)
        )
        assert refusal.error == "too_many"
        assert refusal.request_id is not None
        backlog = requester.ask(BacklogRequest(consumer="mes"), BacklogReply, timeout_s=PATIENCE_S)
        assert backlog.consumer == "mes"
    assert refused(station)["requests"] > 0
