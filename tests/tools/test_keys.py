"""`hlgfa keys`, and `hlgfa watch` and `hlgfa check` with what it makes."""

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from pipeline.config import ConfigError
from tools.cli import app

CONFIG = Path(__file__).parents[2] / "config.yaml"


def run(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_a_station_and_its_client_from_the_command_line(tmp_path):
    station, client = tmp_path / "keys", tmp_path / "mine"
    assert "station.key_secret: secret" in run("keys", "make", "--out", station).output
    run("keys", "make", "--out", client, "--name", "plc1")
    assert "may connect" in run("keys", "allow", station, client / "plc1.key", "--name", "plc1").output
    listed = run("keys", "list", station).output
    assert [line.split("  ")[2] for line in listed.splitlines()] == ["own pair", "may connect"]
    assert (station / "station.key_secret").read_text().split('secret-key = "')[1][:40] not in listed


def test_a_check_of_an_open_address_says_what_to_run_and_then_who_may_connect(tmp_path):
    raw = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    raw["sockets"] = dict.fromkeys(("results", "heatmaps", "replay"), "tcp://0.0.0.0:*")
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(raw))
    with pytest.raises(ConfigError, match="Run: hlgfa keys make --out keys"):
        run("check", config)
    keys = tmp_path / "keys"
    config.write_text(yaml.safe_dump(raw | {"security": {"keys_dir": str(keys)}}))
    assert "Run: hlgfa keys make --out DIR" in run("check", config).output
    run("keys", "make", "--out", keys)
    run("keys", "allow", keys, keys / "station.key", "--name", "hmi")
    assert "clients that may connect: hmi" in run("check", config).output


def test_watch_wants_both_keys_or_none(tmp_path):
    run("keys", "make", "--out", tmp_path / "keys")
    with pytest.raises(ConfigError, match="found one of --server-key and --keys, expected both"):
        run("watch", "tcp://127.0.0.1:1", "--server-key", tmp_path / "keys" / "station.key")
