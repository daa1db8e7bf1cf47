"""A real S7 client against our server, a running station behind it."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from snap7.client import Client

from pipeline.config import Config, ConfigError
from pipeline.gateways import registers
from pipeline.gateways.s7 import BLOCK_BYTES
from pipeline.messages import Reason
from support.block_plc import Plc
from support.gateways import free_port, line_with, monitoring, serving


def config_with_s7(root: Path, cameras: int = 1) -> Config:
    return line_with(root, {"s7": {"port": free_port(), "first_db": 10}}, cameras=cameras)


@contextlib.contextmanager
def client_of(config: Config) -> Iterator[Client]:
    assert config.gateways is not None
    assert config.gateways.s7 is not None
    client = Client()
    client.connect("127.0.0.1", 0, 1, tcp_port=config.gateways.s7.port)
    try:
        yield client
    finally:
        client.disconnect()


def plc_of(client: Client, bank: int = 0) -> Plc:
    number = 10 + 2 * bank

    def read() -> Sequence[int]:
        return struct.unpack(">24H", client.db_read(number, 0, BLOCK_BYTES))

    def write(words: Sequence[int]) -> None:
        client.db_write(number + 1, 0, bytearray(struct.pack(">24H", *words)))

    return Plc(read, write)


def test_triggers_of_the_plc_give_its_results(tmp_path: Path) -> None:
    config = config_with_s7(tmp_path, cameras=2)
    with serving(config), client_of(config) as client:
        first, second = plc_of(client), plc_of(client, 1)
        with monitoring(config) as line:
            results = [first.inspect(1000 + number, f"part-{number}") for number in range(5)]
            assert second.inspect(2000).has(registers.ACCEPT)
            line.wait_for(lambda: len(line.results) == 6, "all results")
        first.wait(registers.FAULT)
        first.say(control=registers.TRIGGER, trigger_id=3000)
        refused = first.wait(registers.VALID)
    assert [result.has(registers.ACCEPT) for result in results] == [True] * 4 + [False]
    assert [r.part_id for r in line.results[:5]] == [f"part-{number}" for number in range(5)]
    assert [result.score for result in results] == [pytest.approx(r.score) for r in line.results[:5]]
    assert refused.has(registers.REJECT)
    assert (refused.trigger_id, refused.reason) == (3000, Reason.STATION_SILENT)


def test_the_block_to_the_plc_cannot_be_written(tmp_path: Path) -> None:
    config = config_with_s7(tmp_path)
    with serving(config), client_of(config) as client:
        with pytest.raises(Exception, match=r"(?i)error"):
            client.db_write(10, 4, bytearray(struct.pack(">H", registers.ACCEPT)))
        assert not plc_of(client).look().has(registers.ACCEPT)


def test_a_port_in_use_is_one_line(tmp_path: Path) -> None:
    config = config_with_s7(tmp_path)
    with serving(config), pytest.raises(ConfigError, match=r"gateways\.s7.*cannot be bound"):  # noqa: SIM117
        with serving(config):
            pass
