"""`python -m tools.bench_subscribers`: what slow, stopped and restarting readers cost the line.

A simulated camera and an engine that waits, in turns without readers and with those of
`tools.delivery_test`, which run in a process of their own.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from tools.errors import run_app

if TYPE_CHECKING:
    from pipeline.station import RunReport

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
READERS_NICENESS = 10
"""Readers belong on other machines; here they share the line's cores, whose cost is not what is asked for."""
READERS = ("slow", "stopped", "restarting")
SOCKETS = ("results", "heatmaps", "replay")


class Turn(NamedTuple):
    """One run: latencies from the trigger to the published result, in ms."""

    p50_ms: float
    p99_ms: float
    max_ms: float


@app.command()
def run(
    triggers: Annotated[int, typer.Option(min=100)] = 4_000,
    rate_hz: Annotated[float, typer.Option(min=1.0)] = 200.0,
    engine_ms: Annotated[float, typer.Option(min=0.0)] = 1.0,
    rounds: Annotated[int, typer.Option(min=1)] = 5,
) -> None:
    """Print each turn's latencies, and the ratio of the p99 with readers to that without, pair by pair."""
    turns: dict[bool, list[Turn]] = {False: [], True: []}
    for _ in range(rounds):
        for read in (False, True):
            with tempfile.TemporaryDirectory() as place:
                turn = _turn(Path(place), triggers, rate_hz, engine_ms, read=read)
            turns[read].append(turn)
            print(
                f"{'readers' if read else 'none':8} trigger to published p50 {turn.p50_ms:.2f} "
                f"p99 {turn.p99_ms:.2f} max {turn.max_ms:.2f} ms",
                flush=True,
            )
    ratios = [read.p99_ms / none.p99_ms for none, read in zip(turns[False], turns[True], strict=True)]
    print(
        f"p99 with {', '.join(READERS)} readers to p99 without, pair by pair: "
        f"{', '.join(f'{ratio:.2f}' for ratio in ratios)}; median {statistics.median(ratios):.2f}"
    )


@app.command()
def readers(results: str, heatmaps: str, replay: str) -> None:
    """The readers, until the standard input ends."""
    from tools.delivery_readers import Reader

    addresses = dict(zip(SOCKETS, (results, heatmaps, replay), strict=True))
    for name in READERS:
        Reader(name, addresses)  # threads that end with the process
    sys.stdin.read()


def _turn(directory: Path, triggers: int, rate_hz: float, engine_ms: float, *, read: bool) -> Turn:
    raw = _raw_config(directory, rate_hz)
    addresses = [raw["sockets"][name] for name in SOCKETS]
    command = [
        "nice",
        f"-{READERS_NICENESS}",
        sys.executable,
        "-m",
        "tools.bench_subscribers",
        "readers",
        *addresses,
    ]
    reading = subprocess.Popen(command, stdin=subprocess.PIPE) if read else None
    try:
        report = _station(raw, triggers, engine_ms)
    finally:
        if reading is not None:
            reading.kill()
            reading.communicate()
    row = next(row for row in report.latencies if row.stage == "trigger to published")
    return Turn(row.p50_us / 1000, row.p99_us / 1000, row.max_us / 1000)


def _station(raw: dict[str, Any], triggers: int, engine_ms: float) -> RunReport:
    from pipeline.config import parse_config
    from pipeline.station import Station

    config = parse_config(raw, origin="bench_subscribers")
    return Station(config, stop_after=triggers, stub_engine_ms=engine_ms).run()


def _raw_config(directory: Path, rate_hz: float) -> dict[str, Any]:
    from tools.delivery_readers import CONSUMER

    camera = {
        "kind": "simulated",
        "name": "cam1",
        "width_px": 64,
        "height_px": 64,
        "pixel_format": "Mono8",
        "trigger": {"source": "line"},
        "rate_hz": rate_hz,
    }
    return {
        "station": {
            "line": "bench",
            "name": "subscribers",
            "deadline_ms": 1_000,
            "journal_dir": str(directory / "journal"),
        },
        "sockets": {name: f"ipc://{directory}/{name}" for name in SOCKETS},
        "cameras": [camera],
        "engine": {"model": "none", "runtime": "onnxruntime"},
        "consumers": [{"name": CONSUMER, "limit_mib": 1_000}],
    }


if __name__ == "__main__":
    run_app(app)
