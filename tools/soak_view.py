"""A soak run as a person reads it: processes, and budgets that hold or do not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tools.soak_budgets import Line
    from tools.soak_measure import Usage


def print_usage(usage: Mapping[str, Usage]) -> None:
    """Memory and processor time of every process."""
    table = Table(title="processes", title_justify="left")
    table.add_column("process")
    for column in ("MiB at first", "MiB at last", "growth", "cores busy"):
        table.add_column(column, justify="right")
    for name, found in usage.items():
        sizes = [f"{size / 2**20:.1f}" for size in (found.first_bytes, found.last_bytes)]
        table.add_row(name, *sizes, f"{found.growth_percent:+.1f} %", f"{found.cores:.2f}")
    Console().print(table)


def print_budgets(lines: Sequence[Line]) -> None:
    """Every budget of config.yaml and whether it holds."""
    table = Table(title="budgets of config.yaml", title_justify="left")
    table.add_column("budget")
    for column in ("found", "at most"):
        table.add_column(column, justify="right")
    table.add_column("")
    for line in lines:
        found = "not measured" if line.found is None else f"{line.found:.4g}"
        verdict = "[green]holds[/]" if line.holds else "[bold red]BROKEN[/]"
        table.add_row(line.key, found, f"{line.limit:g}", verdict)
    Console().print(table)
