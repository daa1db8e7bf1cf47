"""`make demo-model`: train the shipped demo model on the simulated part, and measure it on parts it never saw."""

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
TRAIN_PARTS = 400
TEST_PARTS = 300
TRAIN_SEED = 1000
TEST_SEED = 5000
THREADS = 2


@app.command()
def demo_model(out: Path = MODEL) -> None:
    """Render, train, calibrate, evaluate; the model folder is replaced."""
    with tempfile.TemporaryDirectory() as directory:
        parts, unseen = Path(directory) / "parts", Path(directory) / "unseen"
        simulate(parts, train=TRAIN_PARTS, test=0, seed=TRAIN_SEED)
        simulate(unseen, train=1, test=TEST_PARTS, seed=TEST_SEED)
        train(parts, out, threads=THREADS, force=True)
        calibrate(out)
        report = Path(directory) / "evaluation.json"
        evaluate(out, unseen, report)
        shutil.copy(report, out / "evaluation.json")
        measured = json.loads(report.read_text())
    print(f"defects caught: {1 - measured['miss_rate']:.2%}, false rejects: {measured['false_reject_rate']:.2%}")


if __name__ == "__main__":
    run_app(app)
