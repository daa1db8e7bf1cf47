"""`python -m tools.delivery_test`: does every reader get every result exactly once, whatever happens?

A station with an engine that waits, killed (-9) at random moments and started again, and four readers: a
quick one, a slow one, one that stops reading at once, and a durable consumer that is closed and opened again
and again. At the end what each has got is compared with the journal, and the journal is audited.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
import yaml

from pipeline.config import load_config
from pipeline.history.journal_audit import audit_starts
from pipeline.history.journal_files import read_journal
from pipeline.station import Station
from tools.delivery_readers import CONSUMER, Place, Reader, check
from tools.errors import run_app
from tools.run import stop_on_signals

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
CATCH_UP_HZ = 20


class Plan(NamedTuple):
    """How much of what."""

    triggers: int
    rate_hz: float
    kills: int


def run_test(directory: Path, plan: Plan) -> list[str]:
    """Run it all; returns what is wrong, in words, and prints figures."""
    config = directory / "config.yaml"
    raw = _raw_config(directory, plan.rate_hz)
    config.write_text(yaml.safe_dump(raw))
    readers = [Reader(name, raw["sockets"]) for name in ("quick", "slow", "stopped", "restarting")]
    journal_dir = Path(raw["station"]["journal_dir"])
    begin_s = time.monotonic()
    _station_until(config, journal_dir, plan, readers)
    places = _recorded(journal_dir)
    starts = list(audit_starts(journal_dir))
    failures = [f"start {start.epoch}: {failure}" for start in starts for failure in start.failures]
    target = places[plan.triggers - 1]
    for reader in readers:
        failures += check(reader, places, target)
        print(
            f"{reader.name:12} {len(reader.got):7} results, {reader.again} again, {reader.lost} lost",
            flush=True,
        )
    print(
        f"{len(places)} triggers, {len(starts)} starts with results, {plan.kills} kills, "
        f"{time.monotonic() - begin_s:.0f} s: {'; '.join(failures) or 'all is well'}"
    )
    return failures


def _station_until(config: Path, journal_dir: Path, plan: Plan, readers: list[Reader]) -> None:
    """Run the station until so many triggers are recorded and every reader has got them."""
    triggers, rate_hz, kills = plan
    rng = random.Random(2)  # noqa: S311 - no secret
    for _ in range(kills):
        station = _start(config)
        time.sleep(rng.uniform(0.1, 2 * triggers / rate_hz / (kills + 1)))
        station.send_signal(signal.SIGKILL)
        station.wait()
    station = _start(config)
    while len(places := _recorded(journal_dir)) < triggers:
        _wait(station)
    station.send_signal(signal.SIGTERM)
    station.wait()
    _catch_up(config, places[triggers - 1], readers)


def _catch_up(config: Path, target: Place, readers: list[Reader]) -> None:
    """Run on, slowly, until everyone who reads has got what was recorded."""
    raw = yaml.safe_load(config.read_text())
    for camera in raw["cameras"]:
        camera["rate_hz"] = CATCH_UP_HZ
        camera["trigger"]["period_ms"] = 1000 / CATCH_UP_HZ
    config.write_text(yaml.safe_dump(raw))
    station = _start(config)
    waiting = [reader for reader in readers if reader.name != "stopped"]
    while not all(target in reader.got for reader in waiting):
        _wait(station)
    for reader in readers:
        reader.end()
    station.send_signal(signal.SIGTERM)
    station.wait()


def _recorded(journal_dir: Path) -> list[Place]:
    return [(result.epoch, result.seq) for result in read_journal(journal_dir)]


def _wait(station: subprocess.Popen[bytes]) -> None:
    if station.poll() is not None:
        raise RuntimeError(f"delivery test: the station has ended with {station.returncode}")
    time.sleep(2.0)  # reading a whole journal takes a core for longer


def _start(config: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "tools.delivery_test", "station", str(config)])


def _raw_config(directory: Path, rate_hz: float) -> dict[str, Any]:
    camera = {
        "kind": "simulated",
        "name": "cam1",
        "width_px": 64,
        "height_px": 64,
        "pixel_format": "Mono8",
        "trigger": {"source": "software", "period_ms": 1000 / rate_hz},
        "rate_hz": rate_hz,
    }
    sockets: dict[str, Any] = {
        name: f"ipc://{directory}/{name}" for name in ("results", "heatmaps", "replay")
    }
    return {
        "station": {
            "line": "test",
            "name": "delivery",
            "deadline_ms": 1_000,
            "journal_dir": str(directory / "journal"),
        },
        "sockets": sockets,
        "cameras": [camera],
        "engine": {"model": "none", "runtime": "onnxruntime"},
        "journal": {"file_mib": 1, "keep_mib": 100_000},
        "consumers": [{"name": CONSUMER, "limit_mib": 100_000}],
    }


@app.command()
def station(config: Path) -> None:
    """The station of the test."""
    running = Station(load_config(config), stub_engine_ms=0)
    stop_on_signals(running)
    running.run()


@app.command()
def run(
    triggers: Annotated[int, typer.Option(min=10)] = 5_000,
    rate_hz: Annotated[float, typer.Option(min=1)] = 100.0,
    kills: Annotated[int, typer.Option(min=0)] = 5,
) -> None:
    """Exit 1 if a reader did not get every result exactly once and in order, or the audit does not hold."""
    with tempfile.TemporaryDirectory() as place:
        if run_test(Path(place), Plan(triggers, rate_hz, kills)):
            raise typer.Exit(1)


if __name__ == "__main__":
    run_app(app)
