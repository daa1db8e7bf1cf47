"""What a soak run measures of a station's processes: memory and processor time."""

from __future__ import annotations

import statistics
import threading
import time
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

import psutil

if TYPE_CHECKING:
    from pipeline.station import Station

SAMPLE_S = 0.5
WARM_UP = 0.1
"""Share of the run, at its start, whose memory is not counted: pools and caches fill up."""


class Usage(NamedTuple):
    """One process: resident bytes in the first and the last tenth after the warm-up, cores kept busy."""

    first_bytes: int
    last_bytes: int
    cores: float

    @property
    def growth_percent(self) -> float:
        """Of the resident memory."""
        return 100 * (self.last_bytes - self.first_bytes) / self.first_bytes


class _Sample(NamedTuple):
    triggers: int
    rss_bytes: int
    cpu_s: float
    at_s: float


class ProcessSampler:
    """Samples every process of a station from `start` to `stop`."""

    def __init__(self, station: Station) -> None:
        self._station = station
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="usage", daemon=True)
        self._samples: dict[str, list[_Sample]] = defaultdict(list)

    def start(self) -> None:
        """Begin to sample."""
        self._thread.start()

    def stop(self) -> None:
        """End, and wait for the thread."""
        self._done.set()
        self._thread.join()

    def usage(self, triggers: int) -> dict[str, Usage]:
        """By process, of a run of so many triggers; a process that lived too briefly is left out."""
        found = {}
        for name, samples in self._samples.items():
            counted = [sample for sample in samples if sample.triggers > WARM_UP * triggers]
            if len(counted) < 2:
                continue
            tenth = max(1, len(counted) // 10)
            first, last = (
                round(statistics.median(sample.rss_bytes for sample in part))
                for part in (counted[:tenth], counted[-tenth:])
            )
            busy_s, lived_s = counted[-1].cpu_s - counted[0].cpu_s, counted[-1].at_s - counted[0].at_s
            found[name] = Usage(first, last, busy_s / lived_s)
        return found

    def _run(self) -> None:
        while not self._done.wait(SAMPLE_S):
            triggers = self._station.counts[0]
            for name, pid in {"station": None, **self._station.process_ids}.items():
                try:
                    process = psutil.Process(pid)
                    cpu = process.cpu_times()
                    rss_bytes = process.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
                sample = _Sample(triggers, rss_bytes, cpu.user + cpu.system, time.monotonic())
                self._samples[name].append(sample)
