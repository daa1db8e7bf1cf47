"""The `hlgfa` command: one verb a module, heavy imports inside the verbs so that `--help` is instant."""

from __future__ import annotations

import sys

import typer

from tools.audit import audit
from tools.check import check
from tools.calibrate import calibrate
from tools.evaluate import evaluate
from tools.run import run
from tools.train import train
from tools.watch import watch

app = typer.Typer(
    name="hlgfa",
    help="Line monitor: camera frames to pass/fail and heatmaps, learned from good parts only.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(run)
app.command()(check)
app.command()(audit)
app.command()(watch)
app.command()(train)
app.command()(calibrate)
app.command()(evaluate)


def main() -> None:
    """Run the command line; a foreseen error is one line on stderr and exit code 2."""
    from calibration.record import CalibrationError
    from engines.engine import EngineError
    from pipeline.cameras.camera import CameraError
    from pipeline.config import ConfigError
    from pipeline.crew import StationError
    from pipeline.journal import JournalError

    try:
        app()
    except (ConfigError, CameraError, EngineError, CalibrationError, StationError, JournalError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
