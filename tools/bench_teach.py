"""What a recipe taught from few parts is worth: false rejects and misses on parts that it has never seen.

    python -m tools.bench_teach --parts 100 --seeds 1,2,3,4,5
    python -m tools.bench_teach --parts 100 --seeds 1,2,3 --data DIR

Training and threshold are those of `hlgfa teach`. Each seed of the simulated line is a line of its own,
tested on the parts that follow those taught. Of a data set (layout of MVTec AD) each seed draws the parts
that teach from all good images; the others are for the test.
"""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
import time
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from calibration.dataset import GOOD, good_parts, labelled_parts
from calibration.images import list_images
from pipeline.cameras.part import render_part
from tools.calibrate import calibrate
from tools.evaluate import evaluate
from tools.simulate import write_part
from tools.teaching.learn import job_of, train
from tools.teaching.progress import Wish

if TYPE_CHECKING:
    from collections.abc import Iterable

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
TEST_GOOD, TEST_DEFECTIVE = 300, 60
"""Simulated parts of the test."""
SIZE_PX = 512


@app.command()
def main(
    parts: Annotated[int, typer.Option(help="Good parts that teach.")] = 100,
    seeds: Annotated[str, typer.Option(help="One teaching each.")] = "1,2,3,4,5",
    data: Annotated[Path | None, typer.Option(help="Data set; default: the simulated line.")] = None,
    threads: Annotated[int, typer.Option(min=1)] = 2,
) -> None:
    """Teach, judge what was not taught, print the rates of each seed."""
    for seed in map(int, seeds.split(",")):
        with tempfile.TemporaryDirectory() as place:
            root = Path(place)
            if data is None:
                _render(root, seed, parts)
            else:
                _draw(root, seed, parts, data)
            print(f"seed {seed}: {_worth(root, threads)}", flush=True)


def _render(root: Path, seed: int, parts: int) -> None:
    wanted: Iterable[tuple[str, int, float]] = chain(
        (("train", i, 0.0) for i in range(parts)),
        (("test", parts + i, 0.0) for i in range(TEST_GOOD)),
        (("test", parts + TEST_GOOD + i, 1.0) for i in range(TEST_DEFECTIVE)),
    )
    for folder, number, defect_rate in wanted:
        part = render_part(
            seed, number, width_px=SIZE_PX, height_px=SIZE_PX, pixel_format="Mono8", defect_rate=defect_rate
        )
        write_part(root, folder, number, part)


def _draw(root: Path, seed: int, parts: int, data: Path) -> None:
    labelled = labelled_parts(data)
    good = [*good_parts(data), *(part.path for part in labelled if part.kind == GOOD)]
    drawn = np.random.default_rng(seed).permutation(len(good))
    for index, number in enumerate(drawn):
        _link(good[number], root / ("train" if index < parts else "test") / GOOD / f"{index:04}")
    for part in labelled:
        if part.kind != GOOD:
            _link(part.path, root / "test" / part.kind / part.path.stem)
    (root / "ground_truth").symlink_to((data / "ground_truth").resolve())


def _link(image: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.with_suffix(image.suffix).symlink_to(image.resolve())


def _worth(root: Path, threads: int) -> str:
    model, report = root / "model", root / "report.json"
    wish = Wish(recipe=1, title="bench", parts=0, camera={})
    begin_s = time.monotonic()
    train(job_of(root / "train" / GOOD, model, wish, threads=threads))
    trained_s = time.monotonic() - begin_s
    with contextlib.redirect_stdout(io.StringIO()):  # tables; the figures come as one line a seed
        calibrate(model)
        evaluate(model, root, json=report, threads=threads)
    found = json.loads(report.read_text(encoding="utf-8"))
    good = len(list_images(root / "test" / GOOD))
    return (
        f"{found['false_reject_rate']:.1%} of {good} good parts rejected, {found['miss_rate']:.1%} of "
        f"{found['parts'] - good} defective ones missed; stated {found['false_reject_stated']:.1%}, at most "
        f"{found['false_reject_upper']:.1%}; image AUROC {found['image_auroc']:.4f}; {trained_s:.0f} s"
    )


if __name__ == "__main__":
    app()
