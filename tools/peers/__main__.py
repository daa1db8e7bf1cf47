"""`make bench-peers`: our model timed beside anomalib's EfficientAD-S, PatchCore and PaDiM, in one run."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tools.errors import run_app

if TYPE_CHECKING:
    from tools.peers.record import PeersRun

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
SIZE_PX = (256, 256)


@app.command()
def bench_peers(  # noqa: PLR0917 - options of a command
    model: Annotated[Path, typer.Option(help="Folder of a trained model, HR view 256x256.")],
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of each model.")] = 2,
    rounds: Annotated[int, typer.Option(min=10, help="Each model is timed once in each round.")] = 40,
    runs: Annotated[int, typer.Option(min=1, help="Timed runs of a model in one round.")] = 5,
    record: Annotated[Path | None, typer.Option("--json", help="Write all times as JSON.")] = None,
    page: Annotated[Path | None, typer.Option("--markdown", help="Write a page of docs from them.")] = None,
) -> None:
    """Time our model and three of anomalib in both CPU runtimes, side by side."""
    from rich.console import Console

    from engines.records import write_record
    from tools.peers.record import rows
    from tools.peers.view import markdown, notes, table, verdicts

    check_ready(model, [path for path in (record, page) if path is not None])
    run = measure(model, threads=threads, rounds=rounds, runs=runs)
    if record is not None:
        write_record(run, record)
    if page is not None:
        page.write_text(markdown(run), encoding="utf-8")
    console = Console()
    console.print(table(run))
    for line in [*verdicts(rows(run)), *notes(run)]:
        console.print(f"- {line}", highlight=False)


def check_ready(model: Path, outputs: list[Path]) -> None:
    """Refuse before the long work what could not be compared or written.

    Raises:
        EngineError: the model has another size, anomalib is missing, or a folder of an output is.
    """
    from engines.engine import EngineError
    from engines.manifest import load_manifest

    manifest = load_manifest(model)
    size = manifest.hr_height_px, manifest.hr_width_px
    if size != SIZE_PX:
        raise EngineError(
            f"{model}: found an HR view of {size[0]}x{size[1]}, expected 256x256 as the peers have. "
            "Train one with: hlgfa train --size 256x256"
        )
    if importlib.util.find_spec("anomalib") is None:
        raise EngineError("anomalib: not installed here, expected its own environment. Run: make bench-peers")
    for path in outputs:
        if not path.parent.is_dir():
            raise EngineError(f"{path}: its folder is missing. Make it first: mkdir -p {path.parent}")


def measure(model: Path, *, threads: int, rounds: int, runs: int) -> PeersRun:
    """Export the peers, time everything, put the machine beside it."""
    from engines.manifest import ONNX_NAME, load_manifest
    from engines.records import now_utc
    from tools.machine import processor
    from tools.peers.record import OURS, PeersRun
    from tools.peers.rounds import Subject, time_all

    started = now_utc()
    load_before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        with _progress("exporting anomalib's models", 3) as told:
            about, peers = exported(Path(folder), threads, told)
        subjects = [
            Subject(OURS, model / ONNX_NAME),
            *(Subject(peer["name"], Path(peer["onnx"]), peer["score"]) for peer in peers),
        ]
        with _progress("rounds", rounds) as round_done:
            timed = time_all(subjects, threads, rounds, runs, round_done)
    runtimes = {name: version(name) for name in ("onnxruntime", "openvino")}
    return PeersRun(
        started_utc=started,
        machine=processor(),
        cores=os.cpu_count() or 0,
        load_before=load_before,
        threads=threads,
        model_id=load_manifest(model).model_id,
        versions={**about["versions"], **runtimes, "Python": sys.version.split()[0]},
        torchvision_declared=about["torchvision_declared"],
        timed=timed,
    )


def exported(
    folder: Path, threads: int, told: Callable[[int], None]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Run `tools.peers.anomalib_export` as a process: its line about the environment, its line of each model.

    Raises:
        EngineError: it failed.
    """
    from engines.engine import EngineError
    from tools.peers.rounds import last_line

    command = [sys.executable, "-m", "tools.peers.anomalib_export", str(folder), str(threads)]
    lines = []
    with tempfile.TemporaryFile("w+") as stderr:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                lines.append(json.loads(line))
                told(len(lines) - 1)
        if process.returncode != 0:
            why = last_line(stderr)
            raise EngineError(f"anomalib's models: the export ended with {process.returncode}: {why}")
    return lines[0], lines[1:]


@contextmanager
def _progress(name: str, total: int) -> Iterator[Callable[[int], None]]:
    """One bar on stderr."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(name, total=total)
        yield lambda done: bar.update(task, completed=done)


if __name__ == "__main__":
    run_app(app)
