"""A station with its page on free ports, and Chromium to look at it: for the picture and the benchmark."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from pipeline.config import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

STOP_S = 30.0
_LAST_IN_LINE = """#!/bin/sh
[ ! -e /proc/self/autogroup ] || echo 19 > /proc/self/autogroup
exec chrt --idle 0 {program} "$@"
"""
"""Playwright gives a browser a session of its own, and Linux shares the cores out between sessions first."""


class Scene(NamedTuple):
    """A station that is ready, and where its page is."""

    page: str
    results: str


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def scene(config: Path, directory: Path, *, rate_hz: float) -> Iterator[Scene]:
    """Run the simulated station of `config` with its page; it is stopped at the end of the block.

    Raises:
        ConfigError: it does not start.
    """
    raw = yaml.safe_load(config.read_text(encoding="utf-8"))
    ports = [free_port() for _ in range(4)]
    names = ("results", "heatmaps", "replay")
    raw["sockets"] = {name: f"tcp://127.0.0.1:{port}" for name, port in zip(names, ports, strict=False)}
    raw["station"]["journal_dir"] = str(directory / "journal")
    raw["dashboard"]["port"] = ports[3]
    raw["cameras"][0]["rate_hz"] = rate_hz
    path = directory / "config.yaml"
    path.write_text(yaml.safe_dump(raw), encoding="utf-8")
    with _running(path) as awaited:
        awaited({"ready", "dashboard:"})
        yield Scene(f"http://127.0.0.1:{ports[3]}/", raw["sockets"]["results"])


@contextlib.contextmanager
def _running(config: Path) -> Iterator[Any]:
    command = [sys.executable, "-m", "tools.cli", "run", str(config)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def awaited(words: set[str]) -> None:
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            words = {word for word in words if not line.startswith(word)}
            if not words:
                return
        raise ConfigError(f"the station has ended: {''.join(said)}")

    try:
        yield awaited
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=STOP_S)


@contextlib.contextmanager
def chromium(*, idle: bool = False) -> Iterator[Browser]:
    """Debian's Chromium without a window; if `idle` it gets what all others leave of the cores.

    Raises:
        ConfigError: it is not there.
    """
    from playwright.sync_api import sync_playwright

    found = shutil.which("chromium")
    if found is None:
        raise ConfigError("chromium: found none. As root run: apt-get install chromium")
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with tempfile.TemporaryDirectory() as place, sync_playwright() as playwright:
        program = found
        if idle:
            program = f"{place}/chromium"
            Path(program).write_text(_LAST_IN_LINE.format(program=found))
            Path(program).chmod(0o700)
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        yield browser
        browser.close()
