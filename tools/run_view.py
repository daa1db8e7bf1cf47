"""What the terminal shows while a station runs: its addresses, then one line that counts."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pipeline.station import Station

REFRESH_S = 0.2


@contextlib.contextmanager
def follow(station: Station, *, total: int | None) -> Iterator[Callable[[], None]]:
    """Show the station's progress while the block runs; yields what to call when it is ready."""
    console = Console(stderr=True)
    done = threading.Event()
    progress = Progress(
        TextColumn("{task.description}"),
        *([BarColumn(), MofNCompleteColumn()] if total else []),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )

    def show() -> None:
        task = progress.add_task("monitoring", total=total)
        while not done.wait(REFRESH_S):
            triggers, accepts, rejects = station.counts
            text = f"[green]{accepts} accept[/]  [red]{rejects} reject[/]"
            progress.update(task, completed=triggers, description=text)

    def on_ready() -> None:
        addresses = "  ".join(f"{name} {address}" for name, address in station.endpoints.items())
        console.print(f"[bold]ready[/]: {addresses}", soft_wrap=True, highlight=False)
        watch = f"watch it: hlgfa watch {station.endpoints['results']}   stop it: Ctrl-C"
        console.print(watch, soft_wrap=True, highlight=False)

    console.print("starting: cameras and engine ...")
    viewer = threading.Thread(target=show, name="view", daemon=True)
    with progress:
        viewer.start()
        try:
            yield on_ready
        finally:
            done.set()
            viewer.join()
