"""What the machine says of a station: bytes in its directories, memory of its processes.

An archive may have a hundred thousand files, and the kernel's table of sockets is long: the answers are kept
for a while, so that a scrape costs nothing.
"""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pipeline.config import Config

KEPT_S = 30.0
_MODULES = {
    "pipeline.capture": "capture",
    "pipeline.inspection": "inspection",
    "pipeline.history.historian": "historian",
}


class HostFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes by name; what cannot be seen from here is left out."""

    directory_bytes: dict[str, int] = {}
    free_bytes: dict[str, int] = {}
    memory_bytes: dict[str, int] = {}


class Host:
    """Answers are at most `KEPT_S` old."""

    def __init__(self, config: Config, now_s: Callable[[], float] = time.monotonic) -> None:
        self._directories = {"journal": config.station.journal_dir}
        if config.archive is not None:
            self._directories["archive"] = config.archive.directory
        if config.logging.directory is not None:
            self._directories["log"] = config.logging.directory
        self._endpoint = config.sockets.results
        self._now_s = now_s
        self._facts = HostFacts()
        self._due_s: float | None = None

    def facts(self) -> HostFacts:
        """What is known."""
        now_s = self._now_s()
        if self._due_s is None or now_s >= self._due_s:
            self._facts = self._look()
            self._due_s = self._now_s() + KEPT_S
        return self._facts

    def _look(self) -> HostFacts:
        directories = {name: path for name, path in self._directories.items() if Path(path).is_dir()}
        pid = find_station(self._endpoint)
        return HostFacts(
            directory_bytes={name: _bytes_below(path) for name, path in directories.items()},
            free_bytes={name: shutil.disk_usage(path).free for name, path in directories.items()},
            memory_bytes={} if pid is None else resident_bytes(pid),
        )


def _bytes_below(directory: str) -> int:
    return sum(_sizes(directory))


def _sizes(directory: str) -> Iterator[int]:
    """Sizes of all files; one that goes meanwhile has none."""
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    yield from _sizes(entry.path)
                else:
                    yield entry.stat(follow_symlinks=False).st_size
    except OSError:
        return


def find_station(endpoint: str) -> int | None:
    """Process id of who listens at a station's address; None if that cannot be seen from here."""
    try:
        if endpoint.startswith("ipc://"):
            path = endpoint.removeprefix("ipc://")
            found = [c.pid for c in psutil.net_connections("unix") if str(c.laddr) == path]
        else:
            port = int(endpoint.rpartition(":")[2])
            listening = [c for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN]
            found = [c.pid for c in listening if c.laddr and c.laddr.port == port]
    except (psutil.Error, OSError):
        return None
    return next((pid for pid in found if pid is not None), None)


def resident_bytes(pid: int) -> dict[str, int]:
    """Resident memory of a station and its children, by what they are; those of all cameras are added up."""
    memory: dict[str, int] = {}
    try:
        station = psutil.Process(pid)
        memory["station"] = station.memory_info().rss
        for child in station.children():
            name = next((_MODULES[word] for word in child.cmdline() if word in _MODULES), None)
            if name is not None:
                memory[name] = memory.get(name, 0) + child.memory_info().rss
    except psutil.Error:
        return memory
    return memory
