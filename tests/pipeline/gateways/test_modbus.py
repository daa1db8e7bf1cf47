"""A real Modbus client against our server, a running station behind it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from pymodbus.client import ModbusTcpClient

from pipeline.config import Config, ConfigError
from pipeline.gateways import registers
from pipeline.gateways.modbus import BANK_WORDS, COMMAND_AT
from pipeline.gateways.registers import BLOCK_WORDS, MAX_FLOAT32
from pipeline.messages import Reason
from support.block_plc import Plc
from support.gateways import STATUS_PERIOD_MS, free_port, line_with, monitoring, serving, wait_for
from support.recipes import changes_of, write_recipe


def config_with_modbus(root: Path, cameras: int = 1) -> Config:
    return line_with(root, {"modbus": {"port": free_port()}}, cameras=cameras)


@contextlib.contextmanager
def client_of(config: Config) -> Iterator[ModbusTcpClient]:
    assert config.gateways is not None
    assert config.gateways.modbus is not None
    client = ModbusTcpClient("127.0.0.1", port=config.gateways.modbus.port)
    try:
        assert client.connect()
        yield client
    finally:
        client.close()


def plc_of(client: ModbusTcpClient, bank: int = 0) -> Plc:
    base = bank * BANK_WORDS

    def read() -> Sequence[int]:
        return client.read_holding_registers(base, count=BLOCK_WORDS).registers

    def write(words: Sequence[int]) -> None:
        assert not client.write_registers(base + COMMAND_AT, list(words)).isError()

    return Plc(read, write)


def test_triggers_of_the_plc_give_its_results(tmp_path: Path) -> None:
    config = config_with_modbus(tmp_path)
    with serving(config), client_of(config) as client, monitoring(config) as line:
        plc = plc_of(client)
        results = [plc.inspect(1000 + number, f"part-{number}") for number in range(10)]
        line.wait_for(lambda: len(line.results) == 10, "all results")
    assert [result.has(registers.ACCEPT) for result in results] == [True, True, True, True, False] * 2
    assert all(result.has(registers.ACCEPT) != result.has(registers.REJECT) for result in results)
    assert [r.part_id for r in line.results] == [f"part-{number}" for number in range(10)]
    assert {r.trigger_source for r in line.results} == {"plc"}
    for found, sent in zip(results, line.results, strict=True):
        assert found.score == pytest.approx(sent.score)
        assert found.threshold == pytest.approx(sent.threshold)
        assert found.reason == sent.reason_code
        assert found.regions == len(sent.regions)
        assert found.bbox == (tuple(sent.regions[0].bbox_px) if sent.regions else (0, 0, 0, 0))
    assert results[-1].counts == (10, 8, 2)


def test_station_stopped_and_started_again(tmp_path: Path) -> None:
    config = config_with_modbus(tmp_path)
    with serving(config), client_of(config) as client:
        plc = plc_of(client)
        with monitoring(config):
            assert plc.inspect(1).has(registers.ACCEPT)
            plc.wait(registers.READY)
            plc.say(control=registers.TRIGGER, trigger_id=2)
            held = plc.wait(registers.VALID, registers.ACCEPT)
            plc.say(control=0)
        silent = wait_for(
            lambda: (seen := plc.look()).has(registers.FAULT) and seen,
            "fault",
            patience_s=3 * STATUS_PERIOD_MS / 1000 + 0.1,
        )
        assert silent.seq == held.seq
        assert silent.has(registers.VALID, registers.REJECT)
        assert not silent.status & (registers.ACCEPT | registers.READY)
        assert silent.reason == Reason.STATION_SILENT
        plc.say(control=registers.TRIGGER, trigger_id=3)
        refused = plc.wait(registers.VALID)
        assert (refused.trigger_id, refused.reason) == (3, Reason.STATION_SILENT)
        assert refused.has(registers.REJECT, registers.TRIGGER_ACK)
        assert refused.score == MAX_FLOAT32
        plc.say(control=0, acknowledged=refused.seq)
        with monitoring(config):
            again = plc.inspect(4)
        assert again.has(registers.ACCEPT)


def test_a_gateway_that_starts_amid_a_trigger_starts_none(tmp_path: Path) -> None:
    config = config_with_modbus(tmp_path)
    with monitoring(config) as line, serving(config), client_of(config) as client:
        plc = plc_of(client)
        plc.say(control=registers.TRIGGER, trigger_id=7)
        plc.wait(registers.PLC_HEARD, registers.READY)
        assert not plc.look().status & (registers.TRIGGER_ACK | registers.BUSY)
        assert plc.inspect(8).has(registers.ACCEPT)
        line.wait_for(lambda: bool(line.results), "the result")
    assert [r.trigger_id for r in line.results] == [8]


def test_two_cameras_and_their_part(tmp_path: Path) -> None:
    config = config_with_modbus(tmp_path, cameras=2)
    with serving(config), client_of(config) as client, monitoring(config) as line:
        left, right, part = (plc_of(client, bank) for bank in range(3))
        assert left.inspect(1).has(registers.ACCEPT)
        assert right.inspect(2).has(registers.ACCEPT)
        together = part.inspect(3, "both")
        assert together.has(registers.ACCEPT)
        assert left.look().trigger_id == right.look().trigger_id == 3
        line.wait_for(lambda: len(line.results) == 4, "both results of the part")
    assert [(r.camera, r.trigger_id) for r in line.results[:2]] == [("cam1", 1), ("cam2", 2)]
    assert {r.part_id for r in line.results[2:]} == {"both"}


def test_only_the_command_words_can_be_written(tmp_path: Path) -> None:
    config = config_with_modbus(tmp_path)
    with serving(config), client_of(config) as client:
        assert client.write_register(2, registers.ACCEPT).isError()
        assert client.write_registers(COMMAND_AT - 1, [1, 1]).isError()
        assert client.write_coils(COMMAND_AT, [True] * 16).isError()
        assert client.read_holding_registers(BANK_WORDS, count=1).isError()
        assert not client.read_holding_registers(2).registers[0] & registers.ACCEPT
        whole = client.read_input_registers(0, count=BANK_WORDS).registers
        assert len(whole) == BANK_WORDS
        both = client.readwrite_registers(
            read_address=0, read_count=BLOCK_WORDS, write_address=COMMAND_AT, values=[1] + [0] * 22 + [1]
        )
        assert both.registers[2] & registers.PLC_HEARD


def test_an_address_in_use_is_one_line(tmp_path: Path) -> None:
    config = config_with_modbus(tmp_path)
    with serving(config), pytest.raises(ConfigError, match=r"gateways\.modbus.*cannot be bound"):  # noqa: SIM117
        with serving(config):
            pass


def test_the_plc_changes_the_recipe(tmp_path: Path) -> None:
    write_recipe(tmp_path, 7)
    config = line_with(tmp_path, {"modbus": {"port": free_port()}}, recipes=tmp_path / "recipes")
    with serving(config), client_of(config) as client, monitoring(config) as line:
        plc = plc_of(client)
        assert plc.inspect(1).recipe == 0
        plc.say(recipe=8)  # there is none
        assert not plc.look().status & registers.RECIPE_OK
        plc.say(recipe=7)
        assert plc.wait(registers.RECIPE_OK).recipe == 7
        result = plc.inspect(2)
        assert (result.recipe, result.score) == (7, 56.0)
        line.wait_for(lambda: len(line.results) == 2, "its result")
    assert [(change.id, change.state) for change in changes_of(line)] == [
        ("7", state) for state in ("loading", "verified", "switched")
    ]
    assert changes_of(line)[-1].operator == "PLC"
