"""`hlgfa run`: one station in the foreground, until Ctrl-C or a number of parts; then its audit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pipeline.station import Station


def run(
    config: Annotated[Path, typer.Argument(help="Configuration of the station.")] = Path("config.yaml"),
    frames: Annotated[int | None, typer.Option(min=1, help="Stop after this many triggers.")] = None,
    dashboard: Annotated[bool, typer.Option(help="Serve the operator's page, too.")] = True,
) -> None:
    """Monitor a line: cameras to verdicts and heatmaps on ZeroMQ. Prints the audit when it stops."""
    from pipeline.config import load_config
    from pipeline.log_config import LogSpec
    from pipeline.logs import started
    from pipeline.station import Station
    from tools.audit_view import print_audit
    from tools.run_dashboard import beside
    from tools.run_view import follow

    parsed = load_config(config)
    with started(LogSpec(process="station", settings=parsed.logging)) as log:
        station = Station(parsed, stop_after=frames)
        log.context["epoch"] = station.epoch
        stop_on_signals(station)
        page = parsed.dashboard if dashboard else None
        with beside(station, config, page), follow(station, total=frames) as on_ready:
            report = station.run(on_ready)
    if not print_audit(report):
        raise typer.Exit(1)


def stop_on_signals(station: Station) -> None:
    """Let Ctrl-C and SIGTERM stop the station in order."""
    import signal

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: station.stop())
