"""`python -m tools.compare_methods`: ours beside published methods, on one backbone, split and size."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tools.errors import run_app
from tools.sizes import size_pair

if TYPE_CHECKING:
    from tools.baselines.dataset import LabelledSet
    from tools.baselines.methods import StepProgress
    from tools.baselines.results import Comparison, Result

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def compare_methods(  # noqa: PLR0917 - options of a command
    out: Annotated[Path, typer.Option(help="Results as JSON; what is there already is not run again.")],
    data: Annotated[list[Path] | None, typer.Option(help="MVTec AD layout; once for each set.")] = None,
    seeds: Annotated[str, typer.Option(help="Each fixes split, draws and initial weights.")] = "0,1,2",
    size: Annotated[str, typer.Option(help="HR view, as hlgfa train takes it.")] = "256",
    methods: Annotated[
        str, typer.Option(help="Out of padim, patchcore, student, hlgfa, paper and the ablations.")
    ] = "padim,patchcore,student",
    taps: Annotated[str, typer.Option(help="Strides of the features that baselines see.")] = "8,16",
    coreset_patches: Annotated[
        int | None, typer.Option(min=10, help="PatchCore: patches that its coreset is chosen from.")
    ] = None,
    student_steps: Annotated[int | None, typer.Option(min=1, help="Steps of the student's training.")] = None,
    table: Annotated[Path | None, typer.Option(help="Write all results of --out as Markdown.")] = None,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 2,
) -> None:
    """Train every method on the good parts of every set and measure it on the set's test parts.

    Without --data nothing is run, and --table writes what is there.
    """
    import torch

    from tools.baselines.dataset import LabelledSet
    from tools.baselines.methods import METHODS
    from tools.baselines.patchcore import PatchCoreSettings
    from tools.baselines.results import Settings, markdown_table, open_comparison
    from tools.baselines.student import StudentSettings

    names, numbers = methods.split(","), _numbers(seeds, "--seeds")
    size_pair(size, "--size")
    if set(names) - set(METHODS):
        raise typer.BadParameter(f"--methods: found {methods!r}, expected some of {','.join(METHODS)}.")
    settings = Settings(
        size=size,
        taps=tuple(sorted(set(_numbers(taps, "--taps")))),
        patchcore=PatchCoreSettings(max_patches=coreset_patches) if coreset_patches else PatchCoreSettings(),
        student=StudentSettings(steps=student_steps) if student_steps else StudentSettings(),
    )
    comparison = open_comparison(out, settings if data else None)
    if data:
        torch.set_num_threads(threads)
        sets = [LabelledSet.find(folder, settings.size) for folder in data]
        _check_names(sets)
        comparison = _run(comparison, sets, names, numbers, out)
    if table is not None:
        table.write_text(markdown_table(comparison), encoding="utf-8")


def _run(
    comparison: Comparison,
    sets: Sequence[LabelledSet],
    methods: Sequence[str],
    seeds: Sequence[int],
    out: Path,
) -> Comparison:
    """Run what is missing, and save after every result."""
    from tools.baselines.results import save_comparison
    from tools.baselines.runner import Runner

    for labelled in sets:
        missing = [(m, s) for s in seeds for m in methods if not comparison.has(labelled.name, m, s)]
        with _progress_bar(labelled.name) as progress:
            runner = Runner(labelled, comparison.settings, progress)
            for method, seed in missing:
                result = runner.result(method, seed)
                comparison = comparison.with_result(result)
                save_comparison(comparison, out)
                typer.echo(_line(result))
    return comparison


def _check_names(sets: Sequence[LabelledSet]) -> None:
    """Results are known by the name of their folder, so it may not come twice."""
    names = [labelled.name for labelled in sets]
    if len(set(names)) < len(names):
        raise typer.BadParameter(f"--data: found folders {names}, expected different names. Rename one.")


def _numbers(text: str, option: str) -> list[int]:
    if re.fullmatch(r"\d{1,9}(,\d{1,9})*", text) is None:
        raise typer.BadParameter(f"{option}: found {text!r}, expected numbers and commas, e.g. 0,1,2.")
    return [int(number) for number in text.split(",")]


def _line(result: Result) -> str:
    areas = (result.image_auroc, result.pixel_auroc, result.aupro)
    shown = " / ".join("-" if area is None else f"{area:.4f}" for area in areas)
    return (
        f"{result.data} {result.method} seed {result.seed}: {shown}; "
        f"fit {result.fit_s:.0f} s, {result.score_ms:.0f} ms an image"
    )


@contextmanager
def _progress_bar(name: str) -> Iterator[StepProgress]:
    """One line for each step of one set, on stderr."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:>30}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        tasks: dict[str, int] = {}

        def report(step: str, done: int, total: int) -> None:
            if step not in tasks:
                tasks[step] = bar.add_task(f"{name}: {step}")
            bar.update(tasks[step], completed=done, total=total)  # type: ignore[arg-type]

        yield report


if __name__ == "__main__":
    run_app(app)
