"""Whole lines for tests: parts as image files, a tiny model, a running station, a subscriber."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pipeline.audit import Audit
from pipeline.config import Config, parse_config
from pipeline.history.journal_files import read_journal
from pipeline.station import RunReport, Station
from support.listener import PATIENCE_S, Listener
from support.tiny_model import make_model


def paint_parts(directory: Path, count: int, *, defect_every: int = 5, size: int = 64) -> Path:
    """Grey parts; every `defect_every`-th has a bright spot. Their scores with the tiny model: 0 and 100."""
    directory.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        pixels = np.full((size, size), 128, np.uint8)
        if number % defect_every == defect_every - 1:
            pixels[8:24, 8:16] = 228
        Image.fromarray(pixels).save(directory / f"part{number:04}.png")
    return directory


def folder_camera(directory: Path, name: str = "cam1", **changes: Any) -> dict[str, Any]:
    camera: dict[str, Any] = {
        "kind": "folder",
        "name": name,
        "width_px": 64,
        "height_px": 64,
        "pixel_format": "Mono8",
        "trigger": {"source": "line"},
        "directory": str(directory),
        "rate_hz": 50,
    }
    return camera | changes


def make_raw_config(root: Path, cameras: list[dict[str, Any]], **station: Any) -> dict[str, Any]:
    """A configuration with free ports, a generous deadline and a tiny model, as YAML would give it."""
    model = root / "model"
    if not model.exists():
        make_model(model)
    settings = {"line": "demo", "name": "s1", "deadline_ms": 5_000, "journal_dir": str(root / "journal")}
    return {
        "station": settings | station,
        "sockets": dict.fromkeys(("results", "heatmaps", "replay"), "tcp://127.0.0.1:*"),
        "cameras": cameras,
        "engine": {"model": str(model), "runtime": "onnxruntime", "threads": 1},
    }


def make_config(root: Path, cameras: list[dict[str, Any]], **station: Any) -> Config:
    return parse_config(make_raw_config(root, cameras, **station), origin="test")


class Line(Listener):
    """A running station and everything that a subscriber has heard of it."""

    def __init__(self, station: Station) -> None:
        self.station = station
        self.report: RunReport | None = None
        self.error: BaseException | None = None
        super().__init__(station.endpoints["results"], station.endpoints["heatmaps"])
        self._heard = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            self.report = self.station.run(on_ready=lambda: self._heard.wait(PATIENCE_S) and None)
        except BaseException as error:  # noqa: BLE001 - handed to the test
            self.error = error

    def listen(self, timeout_s: float = 0.05) -> None:
        """Take in at most one message; the station begins with the first status."""
        super().listen(timeout_s)
        if not self._heard.is_set() and self.statuses:
            self._heard.set()

    def heard(self) -> str:
        """For the message of a test that waits in vain."""
        return f"{super().heard()}, {self.error}"

    def finish(self) -> RunReport:
        """Listen until the station has ended by itself, and to its last words."""
        end = time.monotonic() + PATIENCE_S
        while self.thread.is_alive():
            assert time.monotonic() < end, "the station does not end"
            self.listen()
        if self.error is not None:
            raise self.error
        assert self.report is not None
        self.wait_for(lambda: self.statuses[-1].state == "Halted", "the last words")
        return self.report

    def account(self) -> RunReport:
        """Stop the station, and hold it to one result a trigger: all published, all on record."""
        self.station.stop()
        report = self.finish()
        recorded = list(read_journal(report.journal))
        assert recorded == self.results
        assert Audit.from_results(recorded).failures(opened=report.triggers) == []
        return report


@contextlib.contextmanager
def running(config: Config, *, stop_after: int | None = None) -> Iterator[Line]:
    """Run a station in a thread; it is stopped at the end of the block if it has not ended."""
    line = Line(Station(config, stop_after=stop_after))
    line.thread.start()
    try:
        yield line
    finally:
        line.station.stop()
        line._heard.set()
        line.thread.join(PATIENCE_S)
        line.subscriber.close()
        assert not line.thread.is_alive()
