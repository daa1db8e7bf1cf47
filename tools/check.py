"""`hlgfa check`: say what is wrong with a station without starting it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def check(
    config: Annotated[Path, typer.Argument(help="Configuration of the station.")] = Path("config.yaml"),
) -> None:
    """Check configuration, model, calibration, shared memory and addresses; each a line, ok or what to do."""
    from rich.console import Console

    from pipeline.config import load_config
    from pipeline.preflight import check_station

    console = Console(soft_wrap=True, highlight=False)
    parsed = load_config(config)
    console.print(
        f"[green]ok[/]     {config}: {len(parsed.cameras)} camera(s), engine {parsed.engine.runtime}"
    )
    errors = 0
    for finding in check_station(parsed):
        if finding.error is None:
            console.print(f"[green]ok[/]     {finding.what}")
        else:
            errors += 1
            console.print(f"[bold red]error[/]  {finding.what}: {finding.error}", markup=True)
    if errors:
        raise typer.Exit(2)
