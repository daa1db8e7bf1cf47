"""A reader at the end of a cable that is pulled and put in again: nothing is lost, or taken as new."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from pipeline.access.key_maker import allow_key, make_keys
from pipeline.access.keys import ClientKeys, load_client_keys
from pipeline.config import Config, parse_config
from pipeline.consumer import DurableConsumer
from pipeline.reader import Item
from pipeline.stream_check import Lost, Stale
from support.cable import STATION, cable
from support.lines import folder_camera, make_raw_config, paint_parts
from support.readers import Running, results_of, take_until

CUTS_S = (0.2, 1.0, 3.0)
BETWEEN = 20
"""Results from one cut to the next."""
PORTS = {"results": 5550, "heatmaps": 5551, "replay": 5552}


@pytest.fixture
def config(tmp_path: Path) -> Config:
    make_keys(tmp_path / "keys", "station")
    make_keys(tmp_path / "keys", "mes")
    allow_key(tmp_path / "keys", tmp_path / "keys" / "mes.key", name="mes")
    parts = paint_parts(tmp_path / "parts", 10, defect_every=99)
    raw = make_raw_config(tmp_path, [folder_camera(parts, loop=True)], status_period_ms=50)
    raw["sockets"] = {name: f"tcp://{STATION}:{port}" for name, port in PORTS.items()}
    raw |= {"security": {"keys_dir": str(tmp_path / "keys")}, "consumers": [{"name": "mes"}]}
    return parse_config(raw, origin="test")


def keys_of(config: Config) -> ClientKeys:
    assert config.security is not None
    folder = Path(config.security.keys_dir)
    return load_client_keys(secret=folder / "mes.key_secret", server=folder / "station.key")


def test_a_consumer_gets_everything_over_a_cable_that_is_pulled(config: Config) -> None:
    items: list[Item] = []
    with cable() as wire:
        station = Running(config)
        try:
            with wire.far_end():  # what makes the reader's connections stays in that network
                consumer = DurableConsumer(
                    "mes", results=config.sockets.results, replay=config.sockets.replay, keys=keys_of(config)
                )
            with consumer:
                for cut_s in CUTS_S:
                    _take(consumer, items, BETWEEN)
                    wire.pull()
                    _read_for(consumer, items, cut_s)
                    wire.plug_in()
                _take(consumer, items, BETWEEN)
        finally:
            station.stop()
    numbers = [result.seq for result in results_of(items)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert not [item for item in items if isinstance(item, Lost)]
    assert [item for item in items if isinstance(item, Stale)], "the longest cut was not told"


def _take(consumer: DurableConsumer, items: list[Item], count: int) -> None:
    wanted = len(results_of(items)) + count
    take_until(consumer.receive, items, lambda: len(results_of(items)) >= wanted)


def _read_for(consumer: DurableConsumer, items: list[Item], seconds: float) -> None:
    end_s = time.monotonic() + seconds
    while (left_s := end_s - time.monotonic()) > 0:
        item = consumer.receive(left_s)
        if item is not None:
            items.append(item)
