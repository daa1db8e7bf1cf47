"""`make demo-model`: train the shipped model on the simulated part, measure it on parts it never saw."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import typer

from tools.calibrate import calibrate
from tools.errors import run_app
from tools.evaluate import evaluate
from tools.simulate import simulate
from tools.train import train

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

MODEL = Path("models/demo")
# Three sets of parts that have nothing in common; `simulate` uses a seed and the two after it.
TRAIN_PARTS, TRAIN_SEED = 400, 1000
CALIBRATION_PARTS, CALIBRATION_SEED = 2000, 3000
TEST_PARTS, TEST_SEED = 500, 5000
THREADS = 2


@app.command()
def demo_model(out: Path = MODEL) -> None:
    """Render, train, calibrate, evaluate; the model folder is replaced."""
    with tempfile.TemporaryDirectory() as directory:
        parts, more, unseen = (Path(directory) / name for name in ("parts", "more", "unseen"))
        simulate(parts, train=TRAIN_PARTS, test=0, seed=TRAIN_SEED)
        simulate(more, train=CALIBRATION_PARTS, test=0, seed=CALIBRATION_SEED)
        simulate(unseen, train=1, test=TEST_PARTS, seed=TEST_SEED)
        train(parts, out, threads=THREADS, force=True)
        calibrate(out, more)
        report = Path(directory) / "evaluation.json"
        evaluate(out, unseen, report)
        shutil.copy(report, out / "evaluation.json")
        measured = json.loads(report.read_text())
    print(
        f"defects caught: {1 - measured['miss_rate']:.2%}, false rejects: {measured['false_reject_rate']:.2%}"
    )


if __name__ == "__main__":
    run_app(app)
