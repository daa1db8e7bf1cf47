"""systemd's side of the line, played by a datagram socket."""

import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.notify import Notifier
from support.lines import folder_camera, make_config, make_raw_config, paint_parts, running
from support.station_process import StationProcess, write_config

SECOND_NS = 1_000_000_000


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(10)
        yield listener


def _environ(tmp_path: Path, **more: str) -> dict[str, str]:
    return {"NOTIFY_SOCKET": str(tmp_path / "notify"), **more}


def _heard(listener: socket.socket) -> list[str]:
    listener.setblocking(False)
    texts = []
    try:
        while True:
            texts.append(listener.recv(4096).decode())
    except BlockingIOError:
        return texts


def test_it_says_what_systemd_knows(tmp_path: Path, systemd: socket.socket) -> None:
    notifier = Notifier(_environ(tmp_path))
    notifier.ready()
    notifier.status("300 triggers")
    notifier.stopping()
    notifier.close()
    notifier.close()
    notifier.ready()
    assert _heard(systemd) == ["READY=1", "STATUS=300 triggers", "STOPPING=1"]


def test_it_pets_four_times_a_period(tmp_path: Path, systemd: socket.socket) -> None:
    notifier = Notifier(_environ(tmp_path, WATCHDOG_USEC="4000000", WATCHDOG_PID="7"), pid=7)
    for tenths in range(41):
        notifier.pet(tenths * SECOND_NS // 10)
    notifier.close()
    assert _heard(systemd) == ["WATCHDOG=1"] * 5


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "soon"},
        {"WATCHDOG_USEC": "4000000", "WATCHDOG_PID": "8"},
    ],
)
def test_no_watchdog_that_is_not_asked_for(
    tmp_path: Path, systemd: socket.socket, more: dict[str, str]
) -> None:
    notifier = Notifier(_environ(tmp_path, **more), pid=7)
    notifier.pet(SECOND_NS)
    notifier.close()
    assert _heard(systemd) == []


def test_nobody_there_is_no_error(tmp_path: Path) -> None:
    for environ in ({}, _environ(tmp_path)):
        notifier = Notifier(environ)
        notifier.ready()
        notifier.close()


def test_an_abstract_address(tmp_path: Path) -> None:
    name = f"hlgfa-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("\0" + name)
        notifier = Notifier({"NOTIFY_SOCKET": "@" + name})
        notifier.ready()
        notifier.close()
        assert _heard(listener) == ["READY=1"]


def test_the_station_is_ready_turns_and_stops(
    tmp_path: Path, systemd: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key, value in _environ(tmp_path, WATCHDOG_USEC="40000").items():
        monkeypatch.setenv(key, value)
    heard: list[str] = []

    def listen() -> None:
        while not heard or heard[-1] != "STOPPING=1":
            heard.append(systemd.recv(4096).decode())

    listener = threading.Thread(target=listen)
    listener.start()
    with running(make_config(tmp_path, [folder_camera(paint_parts(tmp_path / "parts", 5))])) as line:
        line.finish()
    listener.join(10)
    assert heard.count("READY=1") == 1
    assert heard[-1] == "STOPPING=1"
    # It pets from its first turn on: the watchdog runs once it is ready.
    assert heard.count("WATCHDOG=1") > 3


def test_a_station_that_hangs_pets_no_more(tmp_path: Path, systemd: socket.socket) -> None:
    camera = folder_camera(paint_parts(tmp_path / "parts", 5), loop=True)
    config = write_config(tmp_path, make_raw_config(tmp_path, [camera]))
    environ = os.environ | _environ(tmp_path, WATCHDOG_USEC="400000")
    with StationProcess(config, env=environ) as station:
        while systemd.recv(4096) != b"READY=1":
            pass
        assert systemd.recv(4096) == b"WATCHDOG=1"
        os.kill(station.pid, signal.SIGSTOP)
        _heard(systemd)
        systemd.settimeout(1.0)  # two and a half periods
        with pytest.raises(TimeoutError):
            systemd.recv(4096)
        os.kill(station.pid, signal.SIGCONT)
        systemd.settimeout(10)
        assert systemd.recv(4096) == b"WATCHDOG=1"
