"""Stations for tests of `hlgfa teach`: small images, a tiny model, a quick training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.client import Message, ResultSubscriber
from pipeline.messages import ResultHeader
from support.lines import make_raw_config
from support.station_process import write_config

CONFIG = Path("config.yaml")
QUICK: dict[str, Any] = {"parts": 14, "steps": 0, "size": "96", "threads": 1}
PART: dict[str, Any] = {"name": "part", "recipe": 7, "title": "Part seven", **QUICK}
SIMULATED: dict[str, Any] = {
    "kind": "simulated",
    "name": "cam1",
    "width_px": 64,
    "height_px": 64,
    "pixel_format": "Mono8",
    "trigger": {"source": "line"},
    "rate_hz": 50,
    "seed": 4,
    "defect_rate": 0.3,
}


def make_teaching_station(root: Path, *cameras: dict[str, Any], recipes: bool = True) -> None:
    """Write config.yaml of a station with these cameras, and an empty folder of recipes if it has one."""
    raw = make_raw_config(root, list(cameras or (SIMULATED,)))
    if recipes:
        (root / "recipes").mkdir()
        raw["recipes_dir"] = "recipes"
    write_config(root, raw)


def a_verdict(root: Path) -> ResultHeader:
    """A result with a score that the station publishes."""
    with ResultSubscriber(f"ipc://{root}/results") as heard:
        for item in heard:
            header = item.header if isinstance(item, Message) else None
            if isinstance(header, ResultHeader) and header.score is not None:
                return header
    raise AssertionError("the station has ended")
