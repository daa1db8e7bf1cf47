"""Debian's mosquitto, our client and another one, a running station behind it."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import Config, ConfigError
from pipeline.gateways.sparkplug_payload import BOOLEAN, REBIRTH, Payload, encode_payload
from pipeline.wire import decode
from support.gateways import free_port, line_with, monitoring, serving, wait_for
from support.mosquitto import Listener, Mosquitto, find_mosquitto

BASE = "hlgfa/demo/s1"
NODE = "spBv1.0/plant/{}/demo-s1"
STALE = {"online": True, "fresh": False, "ready": False, "state": None}

needs_broker = pytest.mark.skipif(find_mosquitto() is None, reason="NO MOSQUITTO: apt-get install mosquitto")


def config_with_mqtt(root: Path, port: int, *, cameras: int = 1, **settings: Any) -> Config:
    mqtt = {"mqtt": {"port": port} | settings}
    return line_with(root, mqtt, cameras=cameras, trigger={"source": "line"}, rate_hz=20)


def states(listener: Listener) -> list[Any]:
    return [json.loads(payload) for payload in listener.heard(f"{BASE}/state")]


@needs_broker
def test_results_are_the_stations_and_its_presence_is_retained(tmp_path: Path) -> None:
    with Mosquitto(tmp_path) as broker, Listener(broker.port) as listener:
        config = config_with_mqtt(tmp_path, broker.port, cameras=2)
        with serving(config):
            wait_for(lambda: states(listener), "the birth")
            with monitoring(config) as line:
                for camera in ("cam1", "cam2"):
                    topic = f"{BASE}/result/{camera}"
                    wait_for(lambda topic=topic: len(listener.heard(topic)) >= 5, "results")
                line.station.stop()
                line.finish()
            wait_for(lambda: states(listener)[-1] == STALE, "the silence of the station")
            with Listener(broker.port) as late:
                wait_for(lambda: states(late), "what is retained")
                assert late.retained() == {f"{BASE}/state"}
        wait_for(lambda: not states(listener)[-1]["online"], "the farewell")
        found = {}
        for camera in ("cam1", "cam2"):
            wire_topic = f"hlgfa/1/demo/s1/result/{camera}/".encode()
            for raw in listener.heard(f"{BASE}/result/{camera}"):
                header = decode(wire_topic, [raw])
                found[header.stream, header.seq] = header
        sent = {(header.stream, header.seq): header for header in line.results}
        assert found.items() <= sent.items()
        assert {header.disposition for header in found.values()} == {"accept", "reject"}
        running = {"fresh": True, "ready": True, "state": "ContinuousExecution"}
        assert STALE | running in states(listener)
        assert listener.heard(f"{BASE}/status")
        assert listener.qualities() == {1}


@needs_broker
def test_a_broker_that_comes_back_is_found_again(tmp_path: Path) -> None:
    config = config_with_mqtt(tmp_path, free_port())
    assert config.gateways is not None
    assert config.gateways.mqtt is not None
    port = config.gateways.mqtt.port
    with serving(config), monitoring(config):
        for _ in range(2):
            with Mosquitto(tmp_path, port=port), Listener(port) as listener:
                wait_for(lambda heard=listener: heard.heard(f"{BASE}/result/cam1"), "results")
                assert states(listener)[-1]["ready"]


@needs_broker
def test_users_and_encryption(tmp_path: Path) -> None:
    with Mosquitto(tmp_path, user=("line", "open sesame"), tls=True) as broker:
        password = tmp_path / "password"
        user = {"name": "line", "password_file": str(password)}
        config = config_with_mqtt(tmp_path, broker.port, ca_file=str(broker.ca_file), user=user)
        for text, let_in in (("open sesame", True), ("wrong", False)):
            password.write_text(f"{text}\n")
            before = len(broker.log())
            with serving(config):
                words = "New client connected" if let_in else "not authorised"
                wait_for(lambda at=before, words=words: words in broker.log()[at:], words)


@needs_broker
def test_sparkplug(tmp_path: Path) -> None:
    with Mosquitto(tmp_path) as broker, Listener(broker.port, "spBv1.0/#") as listener:
        config = config_with_mqtt(tmp_path, broker.port, sparkplug_group="plant")
        with serving(config):
            wait_for(lambda: listener.heard(NODE.format("NBIRTH")), "the birth")
            with monitoring(config):
                wait_for(lambda: len(listener.heard(NODE.format("DDATA"))) >= 10, "results")
                listener.publish(NODE.format("NCMD"), b"\xff\xff")
                listener.publish(NODE.format("NCMD"), encode_payload({REBIRTH: (BOOLEAN, True)}, seq=0))
                wait_for(lambda: len(listener.heard(NODE.format("NBIRTH"))) == 2, "another birth")
            wait_for(lambda: listener.heard(NODE.format("DDEATH") + "/cam1"), "the death of the camera")
        wait_for(lambda: listener.heard(NODE.format("NDEATH")), "the death")
        heard = [(topic.split("/")[2], raw) for topic, raw in listener.everything() if "/NCMD/" not in topic]
    said = [(kind, Payload.FromString(raw)) for kind, raw in heard]
    assert said[0][0] == "NBIRTH"
    assert said[-1][0] == "NDEATH"
    assert metric(said[0][1], "bdSeq").long_value == metric(said[-1][1], "bdSeq").long_value == 0
    lives = "".join("B" if kind == "NBIRTH" else "." for kind, _ in said[:-1]).split("B")[1:]
    expected = [number % 256 for life in lives for number in range(len(life) + 1)]
    assert [payload.seq for _, payload in said[:-1]] == expected
    results = [payload for kind, payload in said if kind == "DDATA"]
    assert {metric(payload, "Accept").boolean_value for payload in results} == {True, False}
    ids = [metric(payload, "ResultId").string_value for payload in results]
    assert all(a != b for a, b in itertools.pairwise(ids))


def metric(payload: Any, name: str) -> Any:
    (found,) = [metric for metric in payload.metrics if metric.name == name]
    return found


def test_a_password_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    user = {"name": "line", "password_file": str(tmp_path / "none")}
    config = config_with_mqtt(tmp_path, free_port(), user=user)
    with pytest.raises(ConfigError, match=r"gateways\.mqtt\.user\.password_file: .*cannot be read"):  # noqa: SIM117
        with serving(config):
            pass


def test_a_ca_file_that_is_none_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    config = config_with_mqtt(tmp_path, free_port(), ca_file=str(tmp_path / "ca.pem"))
    with pytest.raises(ConfigError, match=r"gateways\.mqtt\.ca_file: .* holds no certificate"):  # noqa: SIM117
        with serving(config):
            pass
