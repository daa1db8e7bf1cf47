"""One model of real bottles for all tests here: made by the commands, with a quarter of the guidance's steps.

With all of its 800 steps it takes two minutes more; docs/accuracy.md has the figures of the defaults.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from support.bottle import BOTTLE


def hlgfa(*arguments: object) -> None:
    command = [sys.executable, "-m", "tools.cli", *(str(argument) for argument in arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def bottle_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "bottle"
    hlgfa("train", "--data", BOTTLE, "--out", folder, "--steps", 200)
    hlgfa("calibrate", "--model", folder)
    return folder


@pytest.fixture(scope="session")
def bottle_report(bottle_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    report = tmp_path_factory.mktemp("report") / "report.json"
    hlgfa("evaluate", "--model", bottle_model, "--data", BOTTLE, "--json", report)
    return report
