"""`hlgfa doctor`: is this machine fit to run a line, and if not, what is to be done."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.config import Config
    from tools.host.facts import Line

COLOURS = {"ok": "green", "warning": "yellow", "error": "bold red"}


def doctor(
    config: Annotated[
        Path | None, typer.Argument(help="Configuration of the station; without it, the machine alone.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")] = False,
) -> None:
    """Check clock, memory, network, limits, GPU, runtimes, disks, addresses, keys; exit code 2 for an error.

    A warning alone is exit code 0. Run it as the user that the station will run as.
    """
    from pipeline.config import load_config

    lines = list(_examine(None if config is None else load_config(config)))
    if as_json:
        import msgspec

        worst = max((line.level for line in lines), key=list(COLOURS).index)
        print(msgspec.json.encode({"worst": worst, "lines": lines}).decode())
    else:
        _print(lines)
    if any(line.level == "error" for line in lines):
        raise typer.Exit(2)


def _examine(config: Config | None) -> Iterator[Line]:
    from pipeline.preflight import check_station
    from tools.host.checks import check_machine
    from tools.host.facts import Line
    from tools.host.file_checks import check_files
    from tools.host.probe import look_up

    facts = look_up(config)
    yield from check_machine(facts, config)
    yield from check_files(facts, config)
    if config is not None:
        for finding in check_station(config):
            yield Line(
                level="ok" if finding.error is None else "error",
                what=finding.what,
                found=finding.error or "nothing wrong",
            )


def _print(lines: list[Line]) -> None:
    from rich.console import Console
    from rich.markup import escape

    console = Console(soft_wrap=True, highlight=False)
    for line in lines:
        level = f"[{COLOURS[line.level]}]{line.level:<8}[/]"
        console.print(f"{level} {escape(line.what)}: {escape(line.found)}")
        if line.do is not None:
            console.print(f"         do: {escape(line.do)}")
