"""`hlgfa soak`: load on a line, what every stage took, and whether the budgets of config.yaml hold."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pipeline.camera_config import CameraConfig
    from pipeline.config import Config
    from pipeline.station import RunReport
    from tools.soak_measure import Usage

_STUB_HELP = "Measure the line alone: an engine that waits so long and rejects every part."
_CAMERAS_HELP = "So many of the first camera, which must be simulated or a folder."


def soak(  # noqa: PLR0917 - options of a command
    config: Annotated[Path, typer.Argument(help="Configuration of the station.")] = Path("config.yaml"),
    frames: Annotated[int | None, typer.Option(min=10, help="Parts; default 5000 without --seconds.")] = None,
    seconds: Annotated[float | None, typer.Option(min=1, help="How long, instead of --frames.")] = None,
    rate_hz: Annotated[float | None, typer.Option(help="Rate of simulated and folder cameras.")] = None,
    size: Annotated[str | None, typer.Option(help="HEIGHTxWIDTH of simulated cameras; with a stub.")] = None,
    cameras: Annotated[int | None, typer.Option(min=1, max=16, help=_CAMERAS_HELP)] = None,
    stub_engine_ms: Annotated[float | None, typer.Option("--stub-engine-ms", min=0, help=_STUB_HELP)] = None,
    json: Annotated[Path | None, typer.Option(help="Where to write the figures.")] = None,
) -> None:
    """Run a line under load; exit 1 if a budget does not hold, a trigger has no result, or a process died."""
    import threading

    from pipeline.audit import Audit
    from pipeline.config import load_config
    from pipeline.history.journal_files import read_journal
    from pipeline.station import Station
    from tools.audit_view import print_audit
    from tools.machine import description
    from tools.report import write_report
    from tools.run import stop_on_signals
    from tools.run_view import follow
    from tools.soak_budgets import TIMES, compare
    from tools.soak_measure import ProcessSampler
    from tools.soak_view import print_budgets, print_usage

    loaded = _loaded(load_config(config), rate_hz, size, cameras)
    total = None if seconds is not None else frames or 5_000
    station = Station(loaded, stop_after=total, stub_engine_ms=stub_engine_ms)
    stop_on_signals(station)
    sampler = ProcessSampler(station)
    with follow(station, total=total) as on_ready:

        def ready() -> None:
            on_ready()
            sampler.start()
            if seconds is not None:
                timer = threading.Timer(seconds, station.stop)
                timer.daemon = True
                timer.start()

        report = station.run(ready)
        sampler.stop()
    holds = print_audit(report) and report.restarts == 0
    usage = sampler.usage(report.triggers)
    late = Audit.from_results(read_journal(report.journal, epoch=report.epoch)).rejects["late"]
    found = {
        **_times(report, TIMES),
        "memory_growth_percent": max((u.growth_percent for u in usage.values()), default=0.0),
        "lost_frames": report.frames_lost,
        "late_share": late / max(report.triggers, 1),
    }
    budgets = compare(loaded.budgets, found)
    print_usage(usage)
    print_budgets(budgets)
    if json is not None:
        write_report(_report(report, usage, found, description()), json)
    if not (holds and all(line.holds for line in budgets)):
        raise typer.Exit(1)


def _times(report: RunReport, wanted: dict[str, tuple[str, str]]) -> dict[str, float]:
    """Figures of the stages in ms, by the keys of the budgets."""
    by_stage = {row.stage: row for row in report.latencies}
    return {
        key: getattr(by_stage[stage], figure) / 1000
        for key, (stage, figure) in wanted.items()
        if stage in by_stage
    }


def _loaded(config: Config, rate_hz: float | None, size: str | None, cameras: int | None) -> Config:
    """The configuration with the load that was asked for."""
    import msgspec

    from pipeline.camera_config import FolderCameraConfig, SimulatedCameraConfig
    from pipeline.config import ConfigError
    from tools.sizes import size_pair

    found: list[CameraConfig] = list(config.cameras)
    if cameras is not None:
        if not isinstance(found[0], SimulatedCameraConfig | FolderCameraConfig):
            raise ConfigError(
                f"--cameras: found the first camera, {found[0].name}, of another kind, expected simulated or "
                "folder."
            )
        found = [msgspec.structs.replace(found[0], name=f"cam{n}") for n in range(1, cameras + 1)]
    if rate_hz is not None:
        found = [
            msgspec.structs.replace(camera, rate_hz=rate_hz)
            if isinstance(camera, SimulatedCameraConfig | FolderCameraConfig)
            else camera
            for camera in found
        ]
    if size is not None:
        height_px, width_px = size_pair(size, "--size")
        found = [
            msgspec.structs.replace(camera, height_px=height_px, width_px=width_px)
            if isinstance(camera, SimulatedCameraConfig)
            else camera
            for camera in found
        ]
    return msgspec.structs.replace(config, cameras=found)


def _report(
    report: RunReport, usage: dict[str, Usage], found: dict[str, float], machine: dict[str, str]
) -> dict[str, object]:
    return {
        "machine": machine,
        "triggers": report.triggers,
        "restarts": report.restarts,
        "stages": report.latencies,
        "processes": {name: u._asdict() | {"growth_percent": u.growth_percent} for name, u in usage.items()},
        "found": found,
    }
