"""`python -m tools.bench_journal`: what a record costs in our journal, and what it would cost in SQLite.

Append: one record every `--period-ms`, as on a line, timed on its own. Then the flush of a group, the query
of 256 records in the middle, the size of the files, and a writer that is killed (-9) again and again: how
many of the records whose append had returned are found afterwards.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol

import msgspec
import numpy as np
import typer

from pipeline.history.journal import Journal
from pipeline.history.journal_index import JournalIndex
from pipeline.history.journal_repair import repair
from pipeline.history.journal_sync import SYNC_PERIOD_S
from pipeline.messages import ResultHeader
from pipeline.wire import encode
from tools.errors import run_app

if TYPE_CHECKING:
    from collections.abc import Callable

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
EXAMPLE = Path(__file__).resolve().parents[1] / "docs" / "schema" / "examples" / "result.json"
STREAM = "result/cam1"
WANTED = 256


class Store(Protocol):
    """A place for records."""

    def append(self, header: ResultHeader) -> None:
        """Take one record."""

    def flush(self) -> None:
        """Bring what was taken to the disk."""

    def query(self, first: int, last: int) -> int:
        """How many records of a range are found."""

    def close(self) -> None:
        """Close."""


class FileStore:
    """The journal of the station."""

    def __init__(self, directory: Path) -> None:
        repair(directory)
        self._journal = Journal(directory, epoch=str(len(list(directory.iterdir()))))
        self._index = JournalIndex(directory)
        self.append = self._journal.append

    def flush(self) -> None:
        """Bring what was taken to the disk, as its thread does every 0.2 s."""
        os.fdatasync(self._journal.fd)

    def query(self, first: int, last: int) -> int:
        """How many records of a range are found in all starts."""
        self._index.refresh()
        found = 0
        for epoch in self._index.epochs():
            following: int | None = first
            while following is not None:
                page = self._index.page(epoch, STREAM, following, last, 0, WANTED, 2**24)
                found += len(page.records)
                following = page.next
        return found

    def close(self) -> None:
        """Close."""
        self._journal.close()


class SqliteStore:
    """A table in WAL mode, one transaction a record: less would be lost by a kill."""

    def __init__(self, directory: Path, synchronous: str) -> None:
        self._database = sqlite3.connect(directory / "journal.sqlite", isolation_level=None)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute(f"PRAGMA synchronous={synchronous}")
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS record (stream TEXT, seq INTEGER, json BLOB, UNIQUE (stream, seq))"
        )

    def append(self, header: ResultHeader) -> None:
        """Take one record."""
        row = (header.stream, header.seq, encode(header))
        self._database.execute("INSERT OR REPLACE INTO record VALUES (?, ?, ?)", row)

    def flush(self) -> None:
        """Bring what was taken to the disk."""
        self._database.execute("PRAGMA wal_checkpoint(FULL)")

    def query(self, first: int, last: int) -> int:
        """How many records of a range are found."""
        rows = "SELECT json FROM record WHERE stream = ? AND seq BETWEEN ? AND ? ORDER BY seq"
        return len(self._database.execute(rows, (STREAM, first, last)).fetchall())

    def close(self) -> None:
        """Close, without a log left beside the table."""
        self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._database.close()


STORES: dict[str, Callable[[Path], Store]] = {
    "file": FileStore,
    "sqlite normal": lambda directory: SqliteStore(directory, "NORMAL"),
    "sqlite full": lambda directory: SqliteStore(directory, "FULL"),
}


def _header(seq: int) -> ResultHeader:
    example = msgspec.json.decode(EXAMPLE.read_bytes(), type=ResultHeader)
    return msgspec.structs.replace(example, seq=seq, result_id=f"e-{seq}")


def _percentiles(values_ns: list[int]) -> str:
    p50, p99, most = np.percentile(np.array(values_ns) / 1000, [50, 99, 100])
    return f"{p50:8.1f} {p99:8.1f} {most:9.1f} us"


def _measure(name: str, directory: Path, records: int, period_ms: float) -> None:
    store = STORES[name](directory)
    appends, flushes = [], []
    flushed_s = time.monotonic()
    header = _header(1)
    for seq in range(1, records + 1):
        header = msgspec.structs.replace(header, seq=seq, result_id=f"e-{seq}")
        begin_ns = time.perf_counter_ns()
        store.append(header)
        appends.append(time.perf_counter_ns() - begin_ns)
        if name != "file" and time.monotonic() - flushed_s > SYNC_PERIOD_S:
            flushed_s = time.monotonic()
            begin_ns = time.perf_counter_ns()
            store.flush()
            flushes.append(time.perf_counter_ns() - begin_ns)
        time.sleep(period_ms / 1000)
    begin_ns = time.perf_counter_ns()
    store.flush()
    flushes.append(time.perf_counter_ns() - begin_ns)
    queries, found = [], 0
    for _ in range(20):
        begin_ns = time.perf_counter_ns()
        found = store.query(records // 2, records // 2 + WANTED - 1)
        queries.append(time.perf_counter_ns() - begin_ns)
    store.close()
    size = sum(path.stat().st_size for path in directory.iterdir())
    print(f"{name:14} append {_percentiles(appends)}   flush {_percentiles(flushes)}")
    print(f"{'':14} query of {found} {_percentiles(queries)}   {size / records:7.0f} bytes a record")


def _kill(name: str, directory: Path, kills: int) -> None:
    """Each time a new writer goes on where the last one had come to."""
    rng = np.random.default_rng(1)
    acknowledged, reopened_ms = 0, []
    for _ in range(kills):
        command = [sys.executable, "-m", "tools.bench_journal", "write", name, str(directory)]
        with subprocess.Popen([*command, str(acknowledged)], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            time.sleep(float(rng.uniform(0.05, 0.3)))
            writer.send_signal(signal.SIGKILL)
            seqs = [int(line) for line in writer.stdout.read().splitlines() if line.strip()]
        acknowledged = max([acknowledged, *seqs[:-1]])  # the last line may be half a number
        begin_ns = time.perf_counter_ns()
        store = STORES[name](directory)
        reopened_ms.append((time.perf_counter_ns() - begin_ns) / 1e6)
        store.close()
    store = STORES[name](directory)
    found = sum(store.query(first, first + WANTED - 1) for first in range(1, acknowledged + 1, WANTED))
    store.close()
    lost = acknowledged - min(found, acknowledged)
    print(
        f"{name:14} {kills} kills: {acknowledged} appended, {lost} of them lost; opened again in "
        f"{max(reopened_ms):.1f} ms at most"
    )


@app.command()
def write(name: str, directory: Path, last: int) -> None:
    """Append until killed, and say each number once its append has returned."""
    store = STORES[name](directory)
    header = _header(1)
    print(flush=True)
    while True:
        last += 1
        store.append(msgspec.structs.replace(header, seq=last, result_id=f"e-{last}"))
        os.write(1, b"%d\n" % last)


@app.command()
def run(
    records: Annotated[int, typer.Option(min=1_000)] = 3_000,
    period_ms: Annotated[float, typer.Option(help="Time between records.")] = 2.0,
    kills: Annotated[int, typer.Option()] = 10,
    directory: Annotated[Path | None, typer.Option(help="A directory on the disk in question.")] = None,
) -> None:
    """Measure each store."""
    for name in STORES:
        with tempfile.TemporaryDirectory(dir=directory) as place:
            _measure(name, Path(place), records, period_ms)
    for name in STORES:
        with tempfile.TemporaryDirectory(dir=directory) as place:
            _kill(name, Path(place), kills)


if __name__ == "__main__":
    run_app(app)
