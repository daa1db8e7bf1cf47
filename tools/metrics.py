"""`hlgfa metrics`: a station's numbers for Prometheus, in a process of its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pipeline.metrics.service import MetricsService


def metrics(
    config: Annotated[Path, typer.Argument(help="Configuration of the station.")] = Path("config.yaml"),
) -> None:
    """Serve a station's metrics (/metrics) and its health (/healthz) over HTTP, until Ctrl-C."""
    from pipeline.config import ConfigError, load_config
    from pipeline.log_config import LogSpec
    from pipeline.logs import started

    try:
        from pipeline.metrics.service import MetricsService
    except ModuleNotFoundError as error:
        raise ConfigError(
            "metrics: found no prometheus-client. Run: pip install 'hlgfa-line[metrics]'"
        ) from error

    parsed = load_config(config)
    service = MetricsService(parsed)
    _stop_on_signals(service)

    def on_ready(port: int) -> None:
        base = f"http://{parsed.metrics.host}:{port}"
        print(f"metrics on {base}/metrics, health on {base}/healthz", flush=True)

    with started(LogSpec(process="metrics", settings=parsed.logging)):
        service.run(on_ready)


def _stop_on_signals(service: MetricsService) -> None:
    """Let Ctrl-C and SIGTERM stop it in order."""
    import signal

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: service.stop())
