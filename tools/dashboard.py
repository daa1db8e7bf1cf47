"""`hlgfa dashboard`: the operator's page of a station, in a process of its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pipeline.config import Config


def dashboard(
    config: Annotated[Path, typer.Argument(help="Configuration of the station.")] = Path("config.yaml"),
    results: Annotated[str | None, typer.Option(help="The station's address for results.")] = None,
    heatmaps: Annotated[str | None, typer.Option(help="The same for heatmaps and images.")] = None,
    replay: Annotated[str | None, typer.Option(help="The same for requests.")] = None,
    while_stdin: Annotated[bool, typer.Option("--while-stdin", help="End with the standard input.")] = False,
) -> None:
    """Serve the page of a station to browsers, until Ctrl-C; `hlgfa run` does so by itself."""
    from pipeline.config import ConfigError, load_config
    from pipeline.dashboard_config import DashboardConfig

    parsed = _at(load_config(config), results=results, heatmaps=heatmaps, replay=replay)
    settings = parsed.dashboard or DashboardConfig()
    try:
        from pipeline.dashboard.server import address, serve
    except ImportError as error:
        raise ConfigError(
            f"dashboard: {error.name} is missing. Run: pip install 'hlgfa-line[dashboard]'"
        ) from error

    from pipeline.log_config import LogSpec
    from pipeline.logs import started

    if while_stdin:
        _end_with_stdin()
    with started(LogSpec(process="dashboard", settings=parsed.logging)):
        serve(parsed, settings, lambda: print(f"dashboard: {address(settings)}", flush=True))


def _end_with_stdin() -> None:
    """Stop when whoever has started this is gone: its end of the pipe is closed by the kernel."""
    import os
    import signal
    import sys
    import threading

    def wait() -> None:
        sys.stdin.buffer.read()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="stdin", daemon=True).start()


def _at(config: Config, **addresses: str | None) -> Config:
    """The configuration with the real addresses of a station whose ports the system has given."""
    import msgspec

    given = {name: address for name, address in addresses.items() if address is not None}
    sockets = msgspec.structs.replace(config.sockets, **given)
    return msgspec.structs.replace(config, sockets=sockets)
