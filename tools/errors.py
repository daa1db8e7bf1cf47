"""Errors of commands: the refusal to overwrite, and one line and exit code 2 for what was foreseen."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import typer


def run_app(app: typer.Typer) -> None:
    """Run a command line; an error whose message was written for the user is printed as it is."""
    from calibration.record import CalibrationError
    from engines.engine import EngineError
    from pipeline.attendance import StationError
    from pipeline.cameras.camera import CameraError
    from pipeline.config import ConfigError
    from pipeline.history.journal_files import JournalError
    from pipeline.recipes.recipe import RecipeError
    from pipeline.recording import RecordingError
    from pipeline.requester import RequestError

    foreseen = (
        ConfigError,
        CameraError,
        EngineError,
        CalibrationError,
        StationError,
        JournalError,
        RecordingError,
        RecipeError,
        RequestError,
    )
    try:
        app()
    except foreseen as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def check_free(out: Path, *, force: bool) -> None:
    """Say so before the long work if what a command is to write is in the way.

    Raises:
        CalibrationError: `out` exists and may not be replaced.
    """
    from calibration.record import CalibrationError

    if out.exists() and not force:
        raise CalibrationError(f"{out}: exists. Choose another --out, or add --force to replace it.")
