"""`build_engine`: make a model's engine for a target, and prove that it still computes the same."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tools.errors import run_app

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from engines.manifest import Manifest

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def build_engine(
    model: Annotated[Path, typer.Option(help="Model folder, calibrated.")],
    target: Annotated[Literal["onnxruntime", "openvino"], typer.Option(help="Runtime.")] = "onnxruntime",
    precision: Annotated[Literal["fp32"], typer.Option(help="Number format.")] = "fp32",
    images: Annotated[
        Path | None, typer.Option(help="Images to compare on; default: drawn patterns and noise.")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 2,
) -> None:
    """Build the engine of a model for a target and write its equivalence certificate."""
    from rich.console import Console
    from rich.progress import track

    from calibration.calibrated import load_calibrated
    from engines.build import build
    from engines.manifest import load_manifest

    manifest = load_manifest(model)
    calibration = load_calibrated(
        model,
        model_sha256=manifest.model_sha256,
        size_px=(manifest.input_height_px, manifest.input_width_px),
        map_shape=(manifest.map_height, manifest.map_width),
    ).calibration
    pictures = list(_patterns(manifest) if images is None else _files(images, manifest))
    console = Console(stderr=True)
    certificate = build(
        model,
        target=target,
        threads=threads,
        images=track(pictures, f"{target} {precision}: comparing", console=console, transient=True),
        threshold=calibration.threshold,
    )
    found = certificate.comparison
    print(
        f"{model}/engines/{target}-{precision}: {certificate.engine.runtime_version} on "
        f"{certificate.engine.device}, equal to {certificate.reference} on {found.images} images: score "
        f"error max {found.score_error_max:.2g} (threshold {found.threshold:.3g}), map error max "
        f"{found.map_error_max:.2g}, verdicts changed {found.verdict_flips}"
    )


def _files(directory: Path, manifest: Manifest) -> Iterator[NDArray[np.uint8]]:
    from calibration.dataset import ImageFiles, image_paths

    size = (manifest.input_height_px, manifest.input_width_px)
    yield from ImageFiles(image_paths(directory), size_px=size, channels=manifest.channels, resample=False)


def _patterns(manifest: Manifest, count: int = 16) -> Iterator[NDArray[np.uint8]]:
    """Flat, smooth and rough images from dark to bright: the ends of the range and what lies between."""
    import numpy as np

    rng = np.random.default_rng(0)
    shape = manifest.input_shape
    for number in range(count):
        level = 255 * number / (count - 1)
        noise = rng.normal(0, 4 * number, shape)
        ramp = np.linspace(-number, number, shape[1]).reshape(1, -1, *([1] * (len(shape) - 2)))
        yield np.clip(level + noise + 4 * ramp, 0, 255).astype(np.uint8)


def main() -> None:
    """Run the command line; a foreseen error is one line on stderr and exit code 2."""
    run_app(app)
