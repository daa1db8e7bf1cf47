"""What `hlgfa train` shows while it works: a bar a step, and an early estimate of the threshold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from calibration.threshold import fit_threshold

if TYPE_CHECKING:
    from types import TracebackType

    import numpy as np
    from numpy.typing import NDArray

STEPS = ("features", "fits", "guidance", "scoring", "export", "hold-out")
RATE = 0.01
"""False-reject rate of the estimate, the default of `hlgfa calibrate`."""


class TrainView:
    """A context manager that is a `calibration.fit.Progress`, on stderr."""

    def __init__(self) -> None:
        columns = (
            TextColumn("{task.description:>10}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        self._bars = Progress(*columns, console=Console(stderr=True))
        self._tasks = {name: self._bars.add_task(name, total=None, visible=False) for name in STEPS}

    def __enter__(self) -> TrainView:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def step(self, name: str, done: int, total: int) -> None:
        """Move the bar of a step."""
        self._bars.update(self._tasks[name], completed=done, total=total, visible=True)

    def note(self, text: str) -> None:
        """Print a warning above the bars."""
        self._bars.console.print(f"warning: {text}", highlight=False, soft_wrap=True)

    def scores(self, scores: NDArray[np.float64], done: int, terms: int) -> None:
        """Print a threshold for these scores; it settles as terms come in."""
        estimate = fit_threshold(scores, RATE).value
        self._bars.console.print(
            f"threshold, early estimate after {done} of {terms} terms: {estimate:.2f} for {RATE:.0%} false "
            f"rejects, from {len(scores)} parts that score {scores.min():.2f} to {scores.max():.2f}",
            highlight=False,
        )
