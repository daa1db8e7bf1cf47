"""How a command ends on an error that was foreseen: one line, exit code 2, never a traceback."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer


def run_app(app: typer.Typer) -> None:
    """Run a command line; an error whose message was written for the user is printed as it is."""
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
