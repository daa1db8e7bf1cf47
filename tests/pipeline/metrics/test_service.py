"""The process as Prometheus meets it: a real station, HTTP, and what happens when the station goes."""

import json
import os
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from pipeline.config import Config, ConfigError, parse_config
from pipeline.metrics.host import Host, find_station, resident_bytes
from pipeline.metrics.service import MetricsService
from support.gateways import free_port
from support.lines import folder_camera, make_raw_config, paint_parts, running

PATIENCE_S = 30


def _config(root: Path, **changes: Any) -> Config:
    camera = folder_camera(paint_parts(root / "parts", 10), loop=True)
    raw = make_raw_config(root, [camera], stats_period_s=0.2)
    sockets = {name: f"ipc://{root}/{name}" for name in ("results", "heatmaps", "replay")}
    metrics = {"metrics": {"port": free_port()}}
    return parse_config(raw | {"sockets": sockets} | metrics | changes, origin="test")


class Served:
    """A service in a thread, and what it answers."""

    def __init__(self, config: Config) -> None:
        self.service = MetricsService(config)
        self._ready = threading.Event()
        self.port = 0
        self._thread = threading.Thread(target=self.service.run, args=(self._on_ready,), daemon=True)
        self._thread.start()
        assert self._ready.wait(PATIENCE_S)

    def _on_ready(self, port: int) -> None:
        self.port = port
        self._ready.set()

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=PATIENCE_S) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def wait_for(self, path: str, words: str) -> str:
        end = threading.Event()
        for _ in range(PATIENCE_S * 20):
            _, text = self.get(path)
            if words in text:
                return text
            end.wait(0.05)
        raise AssertionError(f"{path} never said {words!r}: {text}")

    def close(self) -> None:
        self.service.stop()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return _config(tmp_path)


@pytest.fixture
def served(config: Config) -> Iterator[Served]:
    served = Served(config)
    yield served
    served.close()


def test_it_follows_a_station_from_before_its_start_to_after_its_end(config: Config, served: Served) -> None:
    code, text = served.get("/healthz")
    assert code == 503
    assert json.loads(text)["reasons"][0].startswith("no status was heard so far")
    with running(config) as line:
        line.wait_for(lambda: len(line.results) >= 20, "results")
        served.wait_for("/healthz", '"ok":true')
        assert served.get("/healthz")[0] == 200
        text = served.wait_for("/metrics", "hlgfa_station_uptime_seconds ")
        assert 'hlgfa_rejects_by_reason_total{camera="cam1",reason="anomaly"}' in text
        assert 'hlgfa_stage_duration_seconds_bucket{le="+Inf",stage="inference"}' in text
        line.station.stop()
        line.finish()
    text = served.wait_for("/healthz", '"ok":false')
    assert served.get("/healthz")[0] == 503
    served.wait_for("/metrics", "hlgfa_station_fresh 0.0")


def test_another_page_is_not_found(served: Served) -> None:
    code, text = served.get("/etc/passwd")
    assert (code, text) == (404, "found no such page, expected /metrics or /healthz\n")


def test_a_client_that_says_nothing_holds_nobody_up(served: Served) -> None:
    import socket

    with socket.create_connection(("127.0.0.1", served.port)):
        assert served.get("/healthz")[0] == 503


def test_a_port_in_use_is_one_line(config: Config, served: Served) -> None:
    with pytest.raises(ConfigError, match=r"metrics: 127.0.0.1:\d+ cannot be bound"):
        MetricsService(config).run()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"metrics": {"host": "0.0.0.0"}}, "metrics.host: found '0.0.0.0', expected a loopback address"),
        ({"metrics": {"port": 0}}, "metrics.port"),
    ],
)
def test_what_is_not_safe_is_refused(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        _config(tmp_path, **changes)


def test_a_port_that_is_not_known_is_refused(tmp_path: Path) -> None:
    free = dict.fromkeys(("results", "heatmaps", "replay"), "tcp://127.0.0.1:*")
    with pytest.raises(ConfigError, match="expected a fixed port"):
        MetricsService(_config(tmp_path, sockets=free))


def test_the_command_serves_and_stops_in_order(tmp_path: Path, config: Config) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(msgspec.to_builtins(config)))
    process = subprocess.Popen(
        [sys.executable, "-m", "tools.cli", "metrics", str(path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith(f"metrics on http://127.0.0.1:{config.metrics.port}/metrics")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0


def test_the_station_is_found_by_its_address_and_its_children_by_what_they_run(config: Config) -> None:
    with running(config) as line:
        line.wait_for(lambda: len(line.results) >= 1, "a result")
        assert find_station(config.sockets.results) == os.getpid()
        found = resident_bytes(os.getpid())
        assert {"station", "capture", "inspection", "historian"} <= set(found)
        assert min(found.values()) > 2**20
    assert find_station("tcp://127.0.0.1:1") is None


def test_bytes_are_counted_now_and_then(tmp_path: Path, config: Config) -> None:
    now_s = 0.0
    host = Host(config, lambda: now_s)
    assert host.facts().directory_bytes == {}
    (tmp_path / "journal" / "sub").mkdir(parents=True)
    (tmp_path / "journal" / "sub" / "a").write_bytes(b"12345")
    (tmp_path / "journal" / "b").write_bytes(b"123")
    assert host.facts().directory_bytes == {}
    now_s = 31.0
    assert host.facts().directory_bytes == {"journal": 8}
    assert host.facts().free_bytes["journal"] > 0
