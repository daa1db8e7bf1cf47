"""Does the page slow the station? Trigger to published with browsers open and without, in turns.

    python -m tools.bench_dashboard --rounds 5 --seconds 60

Every turn begins with a station of its own: its page is served in both kinds, only the browsers differ. The
ratio of the medians of p99 should be at most 1.1. Browsers belong on other machines; here they get what the
line leaves of the cores (SCHED_IDLE), or with --at-par the same share as the line.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from pipeline.client import Message, ResultSubscriber
from pipeline.messages import ResultHeader
from tools.dashboard_scene import chromium, scene
from tools.machine import description

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).resolve().parents[1]
SETTLE_S = 5.0
"""Before a turn is measured: pages load, caches fill."""
WANTED = 1.1


class Turn(msgspec.Struct, frozen=True):
    """One turn: how many browsers, and trigger to published in ms."""

    browsers: int
    results: int
    p50_ms: float
    p99_ms: float
    max_ms: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was measured, with the machine."""

    machine: dict[str, str]
    rate_hz: float
    turns: list[Turn]
    ratio_p99: float


def turn(browser: Browser, count: int, *, seconds: float, rate_hz: float) -> Turn:
    """Measure a fresh station with `count` pages open."""
    with (
        tempfile.TemporaryDirectory() as directory,
        scene(ROOT / "config.yaml", Path(directory), rate_hz=rate_hz) as running,
    ):
        contexts = [browser.new_context() for _ in range(count)]
        for context in contexts:
            page = context.new_page()
            page.goto(running.page)
            page.wait_for_selector("#picture[data-result-id]")
        latencies = _listen(running.results, seconds)
        for context in contexts:
            context.close()
    p50, p99 = np.percentile(latencies, [50, 99])
    return Turn(count, len(latencies), float(p50), float(p99), max(latencies))


def _listen(results: str, seconds: float) -> list[float]:
    """Latencies of what is published in this time, ms."""
    found: list[float] = []
    with ResultSubscriber(results) as subscriber:
        begin = time.monotonic() + SETTLE_S
        while time.monotonic() < begin + seconds:
            item = subscriber.receive(0.1)
            if (
                isinstance(item, Message)
                and isinstance(item.header, ResultHeader)
                and time.monotonic() >= begin
            ):
                found.append(item.header.latency_us / 1000)
    return found


def measure(*, rounds: int, seconds: float, rate_hz: float, browsers: int, idle: bool) -> Report:
    """All turns, none and some by turns, the order changing from round to round."""
    turns = []
    with chromium(idle=idle) as browser:
        for number in range(rounds):
            for count in (0, browsers) if number % 2 == 0 else (browsers, 0):
                turns.append(turn(browser, count, seconds=seconds, rate_hz=rate_hz))
                print(turns[-1], flush=True)
    medians = {
        count: statistics.median(one.p99_ms for one in turns if one.browsers == count)
        for count in (0, browsers)
    }
    ratio = medians[browsers] / medians[0]
    return Report(machine=description(), rate_hz=rate_hz, turns=turns, ratio_p99=ratio)


def main() -> None:
    """Measure, print, and write the report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rate-hz", type=float, default=10)
    parser.add_argument("--browsers", type=int, default=3)
    parser.add_argument("--at-par", action="store_true", help="browsers at the line's own priority")
    parser.add_argument("--json", type=Path, default=None)
    asked = parser.parse_args()
    report = measure(
        rounds=asked.rounds,
        seconds=asked.seconds,
        rate_hz=asked.rate_hz,
        browsers=asked.browsers,
        idle=not asked.at_par,
    )
    print(f"p99 with {asked.browsers} browsers / without: {report.ratio_p99:.2f}, wanted at most {WANTED}")
    if asked.json is not None:
        asked.json.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")


if __name__ == "__main__":
    main()
