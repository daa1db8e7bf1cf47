"""`make soak`: run the line for many parts and say whether memory stays flat and nothing is lost."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tools.errors import run_app

if TYPE_CHECKING:
    from pipeline.station import Station

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
SAMPLE_S = 0.5
WARM_UP = 0.1
"""Share of the run, at its start, that is not counted: pools and caches fill up."""


class MemorySampler:
    """Resident memory of every process of a station, in bytes, over the number of triggers."""

    def __init__(self, station: Station) -> None:
        self._station = station
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="memory", daemon=True)
        self.samples: dict[str, list[tuple[int, int]]] = {}

    def start(self) -> None:
        """Begin to sample."""
        self._thread.start()

    def stop(self) -> None:
        """End, and wait for the thread."""
        self._done.set()
        self._thread.join()

    def _sample(self) -> None:
        import psutil

        while not self._done.wait(SAMPLE_S):
            triggers = self._station.counts[0]
            for name, pid in {"station": None, **self._station.process_ids}.items():
                try:
                    rss = psutil.Process(pid).memory_info().rss
                except psutil.NoSuchProcess:
                    continue
                self.samples.setdefault(name, []).append((triggers, rss))

    def growth(self, total: int) -> dict[str, tuple[int, int]]:
        """Median bytes per process in the first and the last tenth after the warm-up."""
        import statistics

        found = {}
        for name, samples in self.samples.items():
            counted = [rss for triggers, rss in samples if triggers > WARM_UP * total]
            tenth = max(1, len(counted) // 10)
            if counted:
                first, last = counted[:tenth], counted[-tenth:]
                found[name] = (round(statistics.median(first)), round(statistics.median(last)))
        return found


@app.command()
def soak(
    config: Annotated[Path, typer.Argument(help="Configuration of the station.")] = Path("config.yaml"),
    frames: Annotated[int, typer.Option(min=10, help="Parts to monitor.")] = 5000,
    rate_hz: Annotated[float | None, typer.Option(help="Rate of simulated and folder cameras.")] = None,
    growth_percent: Annotated[float, typer.Option(help="Largest growth of any process's memory.")] = 5.0,
) -> None:
    """Run a line for many parts; exit 1 if memory grows, a part is lost or a process had to be restarted."""
    import msgspec

    from pipeline.camera_config import FolderCameraConfig, SimulatedCameraConfig
    from pipeline.config import load_config
    from pipeline.station import Station
    from tools.audit_view import print_audit
    from tools.run_view import follow

    parsed = load_config(config)
    if rate_hz is not None:
        cameras = [
            msgspec.structs.replace(camera, rate_hz=rate_hz)
            if isinstance(camera, SimulatedCameraConfig | FolderCameraConfig)
            else camera
            for camera in parsed.cameras
        ]
        parsed = msgspec.structs.replace(parsed, cameras=cameras)
    station = Station(parsed, stop_after=frames)
    sampler = MemorySampler(station)
    with follow(station, total=frames) as on_ready:
        sampler.start()
        report = station.run(on_ready)
        sampler.stop()
    holds = print_audit(report) and report.restarts == 0
    for name, (first, last) in sampler.growth(frames).items():
        percent = 100 * (last - first) / first
        flat = percent <= growth_percent
        holds = holds and flat
        change = f"{first / 2**20:7.1f} -> {last / 2**20:7.1f} MiB  {percent:+.1f} %"
        print(f"{name:16} {change}{'' if flat else '  GROWS'}")
    if not holds:
        raise typer.Exit(1)


if __name__ == "__main__":
    run_app(app)
