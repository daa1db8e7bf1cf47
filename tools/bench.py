"""`hlgfa bench`: latency, throughput, memory and energy of a model's engines, side by side."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tools.benchmark.figures import Figures, Round
    from tools.benchmark.worker import Target, Worker

_TARGETS_HELP = (
    "Engines as RUNTIME:PRECISION with commas, e.g. onnxruntime:fp32,openvino:int8; the first is what ratios "
    "are to. Default: both CPU runtimes, and all that build_engine has made of this model."
)
PEAK_FRAMES = 2


def bench(  # noqa: PLR0917 - options of a command
    model: Annotated[Path, typer.Option(help="Model folder.")],
    targets: Annotated[str | None, typer.Option(help=_TARGETS_HELP)] = None,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 2,
    rounds: Annotated[int, typer.Option(min=1, help="Turns that each engine takes.")] = 20,
    frames: Annotated[int, typer.Option(min=1, help="Frames a turn.")] = 20,
    json: Annotated[Path | None, typer.Option(help="Where to write the figures.")] = None,
) -> None:
    """Time a model's engines in turn, so that a busy machine slows all alike, beside its roofline."""
    from engines.engine import EngineError
    from engines.manifest import load_model
    from engines.multiply_adds import multiply_adds
    from tools.benchmark.peak import write_peak_model
    from tools.benchmark.view import show
    from tools.benchmark.worker import Target, Worker
    from tools.machine import description
    from tools.report import write_report

    manifest, onnx = load_model(model)
    counted = multiply_adds(onnx)
    wanted = _targets(targets, model)
    refused: dict[str, str] = {}
    with ExitStack() as stack:
        workers: dict[Target, Worker] = {}
        for target in wanted:
            try:
                workers[target] = stack.enter_context(Worker(model, target, threads=threads))
            except EngineError as error:
                if targets is not None:
                    raise
                refused[str(target)] = str(error)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        write_peak_model(folder)
        peaks = {
            name: stack.enter_context(Worker(folder, Target(name), threads=threads))
            for name in _with_peak(workers)
        }
        turns = _measure(workers, peaks, rounds=rounds, frames=frames)
    found = _figures(turns, workers, sum(counted.values()))
    machine = {**description(), "threads": str(threads)}
    show(found, refused, machine, sum(counted.values()))
    if json is not None:
        report = {
            "model_id": manifest.model_id,
            "machine": machine,
            "multiply_adds": counted,
            "engines": found,
            "not_run": refused,
        }
        write_report(report, json)


def _targets(text: str | None, model: Path) -> list[Target]:
    """Those asked for; or the CPU runtimes, and what lies built in the model's folder."""
    from tools.benchmark.worker import Target

    if text is None:
        built = [path.parent.name.rpartition("-") for path in sorted(model.glob("engines/*/engine.json"))]
        names = [("onnxruntime", "fp32"), ("openvino", "fp32"), *((r, p) for r, _, p in built)]
    else:
        pairs = [item.strip().partition(":") for item in text.split(",")]
        names = [(runtime, precision or "fp32") for runtime, _, precision in pairs]
    return [Target(*name) for name in dict.fromkeys(names)]


def _with_peak(workers: Iterable[Target]) -> list[str]:
    """Runtimes that run an ONNX file as it is; the others would have to build the matrix product first."""
    return sorted({t.runtime for t in workers} & {"onnxruntime", "openvino"})


def _measure(
    workers: Mapping[Target, Worker], peaks: Mapping[str, Worker], *, rounds: int, frames: int
) -> dict[Target | str, list[Round]]:
    """Each engine and each runtime's matrix product in turn; the first round is not kept."""
    from rich.console import Console
    from rich.progress import track

    from tools.benchmark.energy import EnergyCounter
    from tools.benchmark.figures import Round

    energy = EnergyCounter()
    everyone: dict[Target | str, tuple[Worker, int]] = {
        **{name: (worker, frames) for name, worker in workers.items()},
        **{name: (worker, PEAK_FRAMES) for name, worker in peaks.items()},
    }
    turns: dict[Target | str, list[Round]] = {name: [] for name in everyone}
    for number in track(range(rounds + 1), description="rounds", console=Console(stderr=True)):
        for name, (worker, count) in everyone.items():
            energy.take()
            timed = worker.run(count)
            if number:
                turns[name].append(Round(timed.times_ns, timed.rss_bytes, energy.take()))
    return turns


def _figures(
    turns: Mapping[Target | str, list[Round]], workers: Mapping[Target, Worker], multiply_adds: int
) -> list[Figures]:
    from tools.benchmark.figures import figures
    from tools.benchmark.peak import MULTIPLY_ADDS

    first = next(iter(workers))
    return [
        figures(
            turns[target],
            turns[first],
            turns.get(target.runtime),
            target=str(target),
            device=worker.info.device,
            load_s=worker.load_s,
            multiply_adds=multiply_adds,
            peak_multiply_adds=MULTIPLY_ADDS,
        )
        for target, worker in workers.items()
    ]
