"""The benchmark as a table for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Column, Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tools.benchmark.figures import Figures


def show(
    figures: Sequence[Figures],
    refused: Mapping[str, str],
    machine: Mapping[str, str],
    multiply_adds: int,
    console: Console | None = None,
) -> None:
    """Print the machine, a row for each engine, and why an engine did not run."""
    console = console or Console()
    console.print(", ".join(f"{key} {value}" for key, value in machine.items()), highlight=False)
    console.print(f"{multiply_adds / 1e6:.0f} million multiply-adds an image", highlight=False)
    names = ("p50 ms", "p99 ms", "max ms", "img/s", "MiB", "mJ", "ratio", "roof")
    table = Table(Column("engine", no_wrap=True), *(Column(name, justify="right") for name in names))
    for f in figures:
        table.add_row(
            f.target,
            *(f"{value:.2f}" for value in (f.p50_ms, f.p99_ms, f.max_ms)),
            f"{f.images_per_s:.1f}",
            f"{f.rss_mib:.0f}",
            "-" if f.energy_mj is None else f"{f.energy_mj:.0f}",
            f"{f.ratio:.2f}",
            "-" if f.roofline_ratio is None else f"{f.roofline_ratio:.2f}",
        )
    console.print(table)
    if any(f.energy_mj is None for f in figures):
        console.print("energy: not readable on this machine")
    for f in figures:
        if f.peak_gflops is not None:
            console.print(
                f"{f.target}: {f.peak_gflops:.0f} GFLOP/s in a large matrix product by the same runtime; at "
                f"that rate an image takes {f.roofline_ms:.2f} ms, here {f.roofline_ratio:.2f} times that",
                highlight=False,
            )
    for name, why in refused.items():
        console.print(f"{name}: not run: {why}", highlight=False, markup=False)
