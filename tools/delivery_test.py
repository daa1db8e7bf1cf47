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
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from pipeline.client import Message, ResultSubscriber
from pipeline.config import load_config
from pipeline.consumer import DurableConsumer
from pipeline.history.journal_audit import audit_starts
from pipeline.history.journal_files import read_journal
from pipeline.messages import ResultHeader
from pipeline.requester import RequestError
from pipeline.station import Station
from pipeline.stream_check import Lost
from tools.errors import run_app
from tools.run import stop_on_signals

if TYPE_CHECKING:
    from pipeline.reader import Item

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
CONSUMER = "delivery"
SLOW_S = 0.01
ACKNOWLEDGE_EVERY = 7
Place = tuple[str, int]


class Plan(NamedTuple):
    """How much of what."""

    triggers: int
    rate_hz: float
    kills: int


class Reader:
    """Reads in a thread until told to end; `got` are the results in the order of their delivery."""

    def __init__(self, name: str, addresses: dict[str, str]) -> None:
        self.name = name
        self.got: list[Place] = []
        self.again = 0
        self.lost = 0
        self._addresses = addresses
        self._ended = threading.Event()
        self._thread = threading.Thread(target=getattr(self, f"_run_{name}"), name=name, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Stop reading."""
        self._ended.set()
        self._thread.join()

    def _note(self, item: Item | None) -> bool:
        """Whether it is a result."""
        if isinstance(item, Lost):
            self.lost += item.last - item.first + 1
        if isinstance(item, Message) and isinstance(item.header, ResultHeader):
            self.got.append((item.header.epoch, item.header.seq))
            return True
        return False

    def _subscriber(self) -> ResultSubscriber:
        return ResultSubscriber(self._addresses["results"], replay_endpoint=self._addresses["replay"])

    def _run_quick(self) -> None:
        with self._subscriber() as subscriber:
            while not self._ended.is_set():
                self._note(subscriber.receive(0.1))

    def _run_slow(self) -> None:
        """Slower than the station for half of the time."""
        with self._subscriber() as subscriber:
            while not self._ended.is_set():
                slow = int(time.monotonic()) // 5 % 2 == 0
                if self._note(subscriber.receive(0.1)) and slow:
                    self._ended.wait(SLOW_S)

    def _run_stopped(self) -> None:
        with self._subscriber() as subscriber:
            while not self._ended.is_set() and not self._note(subscriber.receive(0.1)):
                pass
            self._ended.wait()

    def _run_restarting(self) -> None:
        """What was delivered and not acknowledged comes again: at least once, and then known."""
        rng = random.Random(1)  # noqa: S311 - no secret
        seen: set[Place] = set()
        while not self._ended.is_set():
            try:
                self._session(rng.randint(50, 500), seen)
            except RequestError:
                continue  # the station is just being started again

    def _session(self, results: int, seen: set[Place]) -> None:
        addresses = self._addresses
        with DurableConsumer(CONSUMER, results=addresses["results"], replay=addresses["replay"]) as consumer:
            while results > 0 and not self._ended.is_set():
                item = consumer.receive(0.1)
                if not self._note(item):
                    continue
                results -= 1
                place = self.got[-1]
                if place in seen:
                    self.again += 1
                    self.got.pop()
                seen.add(place)
                if place[1] % ACKNOWLEDGE_EVERY == 0 and isinstance(item, Message):
                    consumer.acknowledge(item)


def check(reader: Reader, journal: list[Place], target: Place) -> list[str]:
    """What is wrong with what a reader got, in words."""
    if reader.name == "stopped":
        return []
    if not reader.got:
        return [f"{reader.name}: got nothing"]
    begin = 0 if reader.name == "restarting" else journal.index(reader.got[0])
    expected = journal[begin : journal.index(target) + 1]
    found = []
    if reader.got[: len(expected)] != expected:
        same = [got == wanted for got, wanted in zip(reader.got, expected, strict=False)]
        place = same.index(False) if False in same else len(same)
        found.append(f"{reader.name}: differs from the journal at result {place} of {len(expected)}")
    if len(set(reader.got)) != len(reader.got):
        found.append(f"{reader.name}: got results twice")
    if reader.lost:
        found.append(f"{reader.name}: {reader.lost} messages lost")
    return found


def run_test(directory: Path, plan: Plan) -> list[str]:
    """Run it all; returns what is wrong, in words, and prints figures."""
    config = directory / "config.yaml"
    raw = _raw_config(directory, plan.rate_hz)
    config.write_text(_yaml(raw))
    readers = [Reader(name, raw["sockets"]) for name in ("quick", "slow", "stopped", "restarting")]
    journal_dir = Path(raw["station"]["journal_dir"])
    begin_s = time.monotonic()
    _station_until(config, journal_dir, plan, readers)
    places = [(result.epoch, result.seq) for result in read_journal(journal_dir)]
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
    waiting = [reader for reader in readers if reader.name != "stopped"]
    for _ in range(kills):
        station = _start(config)
        time.sleep(rng.uniform(0.1, 2 * triggers / rate_hz / (kills + 1)))
        station.send_signal(signal.SIGKILL)
        station.wait()
    station = _start(config)
    target: Place | None = None
    while target is None or not all(target in reader.got[-5_000:] for reader in waiting):
        if station.poll() is not None:
            raise RuntimeError(f"delivery test: the station has ended with {station.returncode}")
        time.sleep(1.0)
        if target is None:
            places = [(result.epoch, result.seq) for result in read_journal(journal_dir)]
            target = places[triggers - 1] if len(places) >= triggers else None
    for reader in readers:
        reader.end()
    station.send_signal(signal.SIGTERM)
    station.wait()


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


def _yaml(raw: dict[str, Any]) -> str:
    import yaml

    return yaml.safe_dump(raw)


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
