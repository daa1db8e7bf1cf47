"""`build_engine`: make a model's engine for a target, and prove that it still computes the same."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tools.errors import run_app

if TYPE_CHECKING:
    from collections.abc import Callable

    from engines.build import BuildRequest, Built

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

_CAPABILITY_HELP = "tensorrt-rtx: GPUs to build for, e.g. 86,89. Default: the GPU here, or 86 without one."
_IMAGES_HELP = (
    "Good parts to compare on, with synthetic defects on them, too; needed for int8. Default: drawn patterns."
)


@app.command()
def build_engine(  # noqa: PLR0917 - options of a command
    model: Annotated[Path, typer.Option(help="Model folder, calibrated.")],
    target: Annotated[
        str, typer.Option(help="onnxruntime, openvino, tensorrt or tensorrt-rtx.")
    ] = "onnxruntime",
    precision: Annotated[str, typer.Option(help="fp32, fp16 or int8.")] = "fp32",
    compute_capability: Annotated[str | None, typer.Option(help=_CAPABILITY_HELP)] = None,
    workspace_mb: Annotated[
        int | None, typer.Option("--workspace-mb", min=1, help="GPU: memory that kernels may take.")
    ] = None,
    timing_cache: Annotated[
        Path | None,
        typer.Option(help="tensorrt: read if it exists, and written; makes the next build quick."),
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Images an inference; the network takes 1.")] = 1,
    images: Annotated[Path | None, typer.Option(help=_IMAGES_HELP)] = None,
    score_limit: Annotated[
        float | None,
        typer.Option(
            min=1e-6,
            max=1.0,
            help="Largest score error, as a share of the threshold. Default: 0.01, int8 0.1.",
        ),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 2,
) -> None:
    """Build the engine of a model for a target, with its sidecar and its equivalence certificate."""
    import time

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from engines.build import BuildRequest, build, check_request
    from tools.build_parts import build_parts, judging_of

    request = BuildRequest(
        model_dir=model,
        target=target,  # type: ignore[arg-type]  # checked by check_request, which names what exists
        precision=precision,  # type: ignore[arg-type]
        threads=threads,
        compute_capabilities=_capabilities(compute_capability),
        workspace_mb=workspace_mb,
        timing_cache=timing_cache,
        batch=batch,
        score_limit=score_limit,
    )
    begin_s = time.monotonic()
    parts = build_parts(model, images, precision)
    check_request(request, parts)
    judging = judging_of(model)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        built = build(request, parts, judging, _show(bars))
    _say(request, built, time.monotonic() - begin_s, defaulted=compute_capability is None)


def _capabilities(text: str | None) -> tuple[str, ...]:
    """The numbers "8.6" and "12.0" of "86,120".

    Raises:
        EngineError: it is no list of such numbers.
    """
    from engines.engine import EngineError

    if text is None:
        return ()
    found = [item.strip().replace(".", "") for item in text.split(",")]
    if not all(item.isdigit() and len(item) in {2, 3} for item in found):
        raise EngineError(f"--compute-capability: found {text!r}, expected numbers such as 86,89.")
    return tuple(dict.fromkeys(f"{item[:-1]}.{item[-1]}" for item in found))


def _show(bars: object) -> Callable[[str, int, int], None]:
    """One bar for each phase, made when it begins."""
    from rich.progress import Progress, TaskID

    assert isinstance(bars, Progress)
    shown: dict[str, TaskID] = {}

    def progress(phase: str, done: int, of: int) -> None:
        if phase not in shown:
            shown[phase] = bars.add_task(phase, total=of)
        bars.update(shown[phase], completed=done, total=of)

    return progress


def _say(request: BuildRequest, built: Built, took_s: float, *, defaulted: bool) -> None:
    from engines.certificate import VERIFIED

    sidecar, certificate, found = built.sidecar, built.certificate, built.certificate.comparison
    capabilities = ", ".join(sidecar.compute_capabilities)
    for_what = f" for compute capability {capabilities}" if capabilities else ""
    print(
        f"{built.folder}: {sidecar.target} {sidecar.runtime_version} {sidecar.precision}{for_what}, "
        f"{took_s:.0f} s"
    )
    if capabilities and sidecar.gpu is None and defaulted:
        print("  there is no GPU here and --compute-capability was not given: name the station's own")
    print(f"  layers: {sidecar.layers} of {built.graph_nodes} nodes")
    for file in sidecar.files:
        print(f"  {file.name}: {file.size_bytes / 1e6:.1f} MB (model.onnx {built.model_bytes / 1e6:.1f} MB)")
    for island in sidecar.islands:
        what = island.nodes[0] if len(island.nodes) == 1 else f"{len(island.nodes)} nodes"
        print(f"  FP32 island {island.group}, {what}: {island.why}")
    if sidecar.quantised:
        print(f"  INT8: {len(sidecar.quantised)} convolutions")
    print(
        f"  certificate: {certificate.status}; {certificate.proven}\n"
        f"  equal to {certificate.reference} on {found.images} images ({certificate.parts}): score error max "
        f"{found.score_error_max:.2g}, mean {found.score_error_mean:.2g} (threshold {found.threshold:.3g}), "
        f"map error max {found.map_error_max:.2g}, verdicts changed {found.verdict_flips}\n"
        f"  score error {found.share(certificate.limit):.2%}, allowed {certificate.limit}"
    )
    if certificate.status != VERIFIED:
        print("  the station verifies it at its first start on the target, before it is ready")


def main() -> None:
    """Run the command line; a foreseen error is one line on stderr and exit code 2."""
    run_app(app)
