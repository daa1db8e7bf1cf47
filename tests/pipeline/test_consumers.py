"""Readers that get everything, on real sockets: slow ones, restarted ones, restarted stations, asyncio."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st

from pipeline.async_client import AsyncDurableConsumer, AsyncResultSubscriber
from pipeline.client import Message, ResultSubscriber
from pipeline.config import Config, ConfigError, parse_config
from pipeline.consumer import DurableConsumer
from pipeline.heatmaps import map_in_image, to_image
from pipeline.history.journal_files import read_journal
from pipeline.messages import EventHeader, ResultHeader
from pipeline.reader import Item
from pipeline.requester import Requester, RequestError
from pipeline.requests import ErrorReply, HelloReply, HelloRequest, TriggerRequest, decode_request, encode
from pipeline.stream_check import Lost
from pipeline.wire import MessageError
from support.lines import PATIENCE_S, folder_camera, make_raw_config, paint_parts
from support.messages import example
from support.readers import Running, results_of, take_until


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A station whose subscribers' queues hold five messages, at fixed addresses."""
    raw = make_raw_config(
        tmp_path, [folder_camera(paint_parts(tmp_path / "parts", 10), loop=True, rate_hz=100)]
    )
    raw["sockets"] = {kind: f"ipc://{tmp_path}/{kind}" for kind in ("results", "heatmaps", "replay")}
    raw["sockets"]["send_queue_messages"] = 300
    raw["consumers"] = [{"name": "mes"}]
    return parse_config(raw, origin="test")


@pytest.fixture
def start(config: Config) -> Iterator[Callable[..., Running]]:
    started: list[Running] = []

    def start(**options: Any) -> Running:
        started.append(Running(config, **options))
        return started[-1]

    yield start
    for running in started:
        running.stop()


def ids(results: list[ResultHeader]) -> list[tuple[str, int]]:
    return [(result.epoch, result.seq) for result in results]


def ends_with(results: list[ResultHeader], seq: int) -> bool:
    """Whether the last result is that one of another start than the first."""
    return results[-1].seq == seq and results[-1].epoch != results[0].epoch


def test_a_reader_that_stops_and_a_station_that_restarts_cost_no_message(
    config: Config, start: Callable[..., Running]
) -> None:
    """It does not read for a while, then misses the end of one start and the beginning of the next."""
    with ResultSubscriber(config.sockets.results, replay_endpoint=config.sockets.replay) as subscriber:
        items: list[Item] = []
        first = start()
        take_until(subscriber.receive, items, lambda: len(results_of(items)) >= 10)
        published = first.station.counts
        while first.station.counts[0] < published[0] + 400:  # more than all queues hold
            threading.Event().wait(0.02)
        first.stop()
        second = start(stop_after=50)
        take_until(subscriber.receive, items, lambda: ends_with(results_of(items), 50))
        second.stop()
    journal = list(read_journal(Path(config.station.journal_dir)))
    begin = results_of(items)[0]
    recorded = [result for result in journal if result.epoch != begin.epoch or result.seq >= begin.seq]
    assert results_of(items) == recorded
    assert not [item for item in items if isinstance(item, Lost)]
    stale = [i for i in items if isinstance(i, Message) and isinstance(i.header, ResultHeader) and i.expired]
    assert len(stale) > 100


def test_a_durable_consumer_gets_what_was_published_while_it_was_away(
    config: Config, start: Callable[..., Running]
) -> None:
    first = start()
    sockets = config.sockets
    got: list[ResultHeader] = []
    with DurableConsumer("mes", results=sockets.results, replay=sockets.replay) as consumer:
        items: list[Item] = []
        take_until(consumer.receive, items, lambda: len(results_of(items)) >= 5)
        for item in items:
            if isinstance(item, Message) and isinstance(item.header, ResultHeader):
                consumer.acknowledge(item)
                got.append(item.header)
                assert consumer.owns(item)
            elif isinstance(item, Message) and isinstance(item.header, EventHeader):
                assert not consumer.owns(item)
    while first.station.counts[0] < len(got) + 20:
        threading.Event().wait(0.02)
    first.stop()
    start()
    with DurableConsumer("mes", results=sockets.results, replay=sockets.replay) as consumer:
        items = []
        take_until(consumer.receive, items, lambda: len({item.epoch for item in results_of(items)}) == 2)
        got += results_of(items)
        last = next(i for i in reversed(items) if isinstance(i, Message) and consumer.owns(i))
        consumer.acknowledge(last)
    assert got == list(read_journal(Path(config.station.journal_dir)))[: len(got)]
    with DurableConsumer("mes", results=sockets.results, replay=sockets.replay) as consumer:
        items = []
        take_until(consumer.receive, items, lambda: bool(results_of(items)))
    assert results_of(items)[0].seq == got[-1].seq + 1


def test_a_consumer_that_is_not_declared_is_refused(config: Config, start: Callable[..., Running]) -> None:
    start()
    sockets = config.sockets
    with pytest.raises(RequestError, match=r"unknown: consumer: found 'other', expected one of .*mes"):
        DurableConsumer("other", results=sockets.results, replay=sockets.replay)


def test_a_requester_asks_and_says_when_nobody_answers(config: Config, start: Callable[..., Running]) -> None:
    with Requester(config.sockets.replay) as requester:
        with pytest.raises(RequestError, match=r"HelloRequest: found no answer in 0.01 s"):
            requester.ask(HelloRequest(), HelloReply, timeout_s=0.01)
        start(stop_after=5)
        hello = requester.ask(HelloRequest(), HelloReply, timeout_s=PATIENCE_S)
        with ResultSubscriber(config.sockets.results, replay_endpoint=config.sockets.replay) as subscriber:
            items: list[Item] = []
            take_until(subscriber.receive, items, lambda: bool(results_of(items)))
        snapshot = requester.snapshot()
        assert snapshot.results[0].epoch == hello.epoch
        heatmap = requester.heatmap(snapshot.results[0].result_id)
        assert heatmap is not None
        assert heatmap.image_map(64, 64).shape == (64, 64)
        assert requester.heatmap("unknown") is None
    with pytest.raises(ConfigError, match="address: found 'nonsense'"):
        Requester("nonsense")


@pytest.mark.parametrize(("request_", "sent"), [(TriggerRequest(trigger_id=1), 1), (HelloRequest(), 2)])
def test_a_refusal_that_may_pass_is_final_for_a_trigger_only(
    tmp_path: Path, request_: TriggerRequest | HelloRequest, sent: int
) -> None:
    """A trigger that is sent again would come too late for its part."""
    endpoint, asked = f"ipc://{tmp_path}/replay", []

    def refuse(router: zmq.Socket[bytes]) -> None:
        while router.poll(int(PATIENCE_S * 1e3)):
            name, data = router.recv_multipart()
            asked.append(decode_request(data))
            error: Literal["too_many", "unknown"] = "too_many" if len(asked) == 1 else "unknown"
            router.send_multipart(
                [name, encode(ErrorReply(error=error, text="", request_id=asked[-1].request_id))]
            )
            if len(asked) == sent:
                return

    with zmq.Context() as context, context.socket(zmq.ROUTER) as router, Requester(endpoint) as requester:
        router.linger = 0
        router.bind(endpoint)
        thread = threading.Thread(target=refuse, args=(router,))
        thread.start()
        with pytest.raises(RequestError, match="too_many" if sent == 1 else "unknown"):
            requester.ask(request_, HelloReply, timeout_s=PATIENCE_S)
        thread.join()
    assert len(asked) == sent


def test_asyncio_readers_get_the_same(config: Config, start: Callable[..., Running]) -> None:
    start(stop_after=40)
    sockets = config.sockets

    async def read() -> list[Item]:
        items: list[Item] = []
        async with await AsyncDurableConsumer.open(
            "mes", results=sockets.results, replay=sockets.replay
        ) as consumer:
            while len(results_of(items)) < 20:
                item = await consumer.receive(PATIENCE_S)
                assert item is not None
                items.append(item)
            last = [i for i in items if isinstance(i, Message) and isinstance(i.header, ResultHeader)][-1]
            await consumer.acknowledge(last)
        async with await AsyncDurableConsumer.open(
            "mes", results=sockets.results, replay=sockets.replay
        ) as consumer:
            while len(results_of(items)) < 40:
                item = await consumer.receive(PATIENCE_S)
                assert item is not None
                items.append(item)
        async with AsyncResultSubscriber(sockets.results, replay_endpoint=sockets.replay) as subscriber:
            async for item in subscriber:
                items.append(item)
                break
        return items

    found = results_of(asyncio.run(read()))
    assert ids(found) == [(found[0].epoch, seq) for seq in range(1, 41)]


# Heatmaps in the image's own pixels


@given(
    rows=st.integers(1, 5),
    columns=st.integers(1, 5),
    scale=st.floats(1.0, 9.0),
    shift=st.floats(-3.0, 3.0),
)
def test_a_map_in_the_image_has_its_scores_where_to_image_says(
    rows: int, columns: int, scale: float, shift: float
) -> None:
    scores = np.arange(rows * columns, dtype=np.float32).reshape(rows, columns)
    matrix = ((scale, 0.0, shift), (0.0, scale, shift))
    header = msgspec.structs.replace(example("heatmap"), to_image=matrix, shape=(rows, columns))
    width, height = round(columns * scale) + 4, round(rows * scale) + 4
    found = map_in_image(header, scores, width, height)
    assert found.shape == (height, width)
    assert scores.min() <= found.min() <= found.max() <= scores.max()
    for row in range(rows):
        for column in range(columns):
            x, y = to_image(header, column, row)
            if x.is_integer() and y.is_integer() and 0 <= x < width and 0 <= y < height:
                assert found[int(y), int(x)] == scores[row, column]


def test_a_map_half_as_large_is_interpolated_between_its_cells() -> None:
    header = msgspec.structs.replace(
        example("heatmap"), to_image=((2.0, 0.0, 0.5), (0.0, 2.0, 0.5)), shape=(1, 2)
    )
    found = map_in_image(header, np.array([[0.0, 4.0]], np.float32), 4, 2)
    np.testing.assert_allclose(found, [[0.0, 1.0, 3.0, 4.0]] * 2)


def test_a_turned_map_is_refused() -> None:
    header = msgspec.structs.replace(example("heatmap"), to_image=((0.0, 1.0, 0.0), (1.0, 0.0, 0.0)))
    with pytest.raises(MessageError, match="expected a scale and a shift"):
        map_in_image(header, np.zeros((2, 2), np.float32), 4, 4)
