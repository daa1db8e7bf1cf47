"""The process as a whole: killed, hanging, misconfigured, without its libraries."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from pipeline.config import Config, ConfigError, parse_config
from pipeline.gateways.gateway import Gateway
from pipeline.stream_check import Gap
from support.gateways import free_port, line_with, monitoring, serving

LINE = {"trigger": {"source": "line"}, "rate_hz": 20}
ENTRY = "from tools.cli import main; main()"


def write_config(root: Path, config: Config) -> Path:
    path = root / "config.yaml"
    path.write_text(yaml.safe_dump(msgspec.to_builtins(config)))
    return path


def start(path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", ENTRY, "gateway", str(path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert "Modbus TCP on 127.0.0.1:" in process.stdout.readline()
    return process


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_gateway_that_dies_or_hangs_costs_nothing(tmp_path: Path, number: signal.Signals) -> None:
    config = line_with(tmp_path, {"modbus": {"port": free_port()}}, **LINE)
    with monitoring(config) as line:
        process = start(write_config(tmp_path, config))
        line.wait_for(lambda: len(line.results) >= 5, "results")
        process.send_signal(number)
        seen = len(line.results)
        line.wait_for(lambda: len(line.results) >= seen + 30, "results without the gateway")
        process.kill()
        process.communicate()
        line.station.stop()
        report = line.finish()
    assert report.dropped == 0
    assert report.triggers == len(line.results)
    # Not Stale: nobody listens here while the gateway starts.
    assert not [notice for notice in line.notices if isinstance(notice, Gap)]


def test_the_command_stops_in_order(tmp_path: Path) -> None:
    process = start(write_config(tmp_path, line_with(tmp_path, {"modbus": {"port": free_port()}})))
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert process.returncode == 0


REMOTE = {"host": "192.168.1.5"}


@pytest.mark.parametrize(
    ("gateways", "words"),
    [
        ({"modbus": REMOTE}, "no encryption and no users.*allow_unencrypted"),
        ({"s7": REMOTE}, "no encryption and no users.*allow_unencrypted"),
        ({"modbus": {"host": "plc.example"}}, "expected a loopback address"),
        ({"opcua": REMOTE}, "expected a loopback address, or 'sign_and_encrypt' and a user"),
        ({"opcua": {"security": "sign"}}, "without certificate and private_key"),
        ({"opcua": {"certificate": "a.der"}}, "with security 'none'"),
        ({"opcua": {"users": [{"name": "a", "password_file": "p"}]}}, "passwords would travel readable"),
        ({"mqtt": REMOTE}, r"or ca_file \(TLS\) and user"),
        ({"mqtt": REMOTE | {"ca_file": "ca.pem"}}, r"or ca_file \(TLS\) and user"),
        ({"mqtt": {"prefix": "a/b"}}, "prefix"),
        ({"modbus": {"port": 5000}, "s7": {"port": 5000}}, "a different one for each server"),
        ({"profinet": {}}, "unknown key. Allowed here: modbus, s7, opcua, mqtt"),
        ({"modbus": {"port": 0}}, "port"),
    ],
)
def test_what_is_not_safe_is_refused(tmp_path: Path, gateways: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=rf"test: gateways.*{words}"):
        line_with(tmp_path, gateways)


@pytest.mark.parametrize(
    "gateways",
    [
        {"modbus": REMOTE | {"allow_unencrypted": True}},
        {"mqtt": REMOTE | {"ca_file": "a", "user": {"name": "a", "password_file": "p"}}},
        {
            "opcua": REMOTE
            | {
                "security": "sign_and_encrypt",
                "certificate": "a",
                "private_key": "b",
                "users": [{"name": "a", "password_file": "p"}],
            }
        },
    ],
)
def test_what_is_safe_or_allowed_by_name_is_taken(tmp_path: Path, gateways: dict[str, Any]) -> None:
    assert line_with(tmp_path, gateways).gateways is not None


def test_a_gateway_without_protocols_or_fixed_ports_is_refused(tmp_path: Path) -> None:
    for gateways in (None, {}):
        with pytest.raises(ConfigError, match="gateways: found none"):
            Gateway(line_with(tmp_path, gateways))  # type: ignore[arg-type]
    config = line_with(tmp_path, {"modbus": {"port": free_port()}, "result_timeout_ms": 10})
    with pytest.raises(ConfigError, match=r"found 10\.0, expected at least station.deadline_ms"):
        Gateway(config)
    raw = msgspec.to_builtins(line_with(tmp_path, {"modbus": {"port": free_port()}}))
    raw["sockets"]["replay"] = "tcp://127.0.0.1:*"
    with pytest.raises(ConfigError, match=r"sockets.replay.*expected a fixed port"):  # noqa: SIM117
        with serving(parse_config(raw, origin="test")):
            pass


@pytest.mark.parametrize(
    ("protocol", "library", "extra"),
    [
        ("modbus", "pymodbus.server", "gateways"),
        ("s7", "snap7.server", "snap7"),
        ("opcua", "asyncua.server.server", "gateways"),
        ("mqtt", "paho.mqtt.client", "gateways"),
    ],
)
def test_a_missing_library_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: str, library: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    config = line_with(tmp_path, {protocol: {"port": free_port()}})
    words = rf"gateways.{protocol}: its library is not installed. Run: pip install .*{extra}"
    with pytest.raises(ConfigError, match=words):  # noqa: SIM117
        with serving(config):
            pass


def test_nothing_of_a_protocol_is_imported_for_another() -> None:
    code = (
        "import sys; from pipeline.gateways.gateway import Gateway; import pipeline.gateways.modbus, "
        "pipeline.gateways.s7, pipeline.gateways.mqtt, pipeline.gateways.opcua; "
        "print(sorted({'pymodbus', 'snap7', 'paho', 'asyncua', 'google'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
