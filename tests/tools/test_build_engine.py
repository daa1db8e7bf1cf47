import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engines.manifest import load_manifest
from support.tiny_model import make_model


def build_engine(*arguments: object) -> subprocess.CompletedProcess[str]:
    script = "from tools.build_engine import main; main()"
    command = [sys.executable, "-c", script, *(str(argument) for argument in arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return make_model(tmp_path / "model")


@pytest.mark.parametrize("target", ["openvino", "onnxruntime"])
def test_a_build_writes_its_certificate(model: Path, tmp_path: Path, target: str) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for seed in range(3):
        pixels = np.random.default_rng(seed).integers(2, 256, (64, 64), np.uint8)
        Image.fromarray(pixels).save(images / f"{seed}.png")
    done = build_engine("--model", model, "--target", target, "--images", images)
    assert done.returncode == 0, done.stderr
    assert "verdicts changed 0" in done.stdout
    certificate = json.loads((model / "engines" / f"{target}-fp32" / "certificate.json").read_text())
    assert certificate["engine"]["model_sha256"] == load_manifest(model).model_sha256
    assert certificate["engine"]["runtime"] == target
    assert certificate["comparison"]["images"] == 3
    assert certificate["comparison"]["verdict_flips"] == 0


def test_without_images_it_draws_some(model: Path) -> None:
    done = build_engine("--model", model, "--target", "openvino")
    assert done.returncode == 0, done.stderr
    assert "on 16 images" in done.stdout


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda model: (model / "calibration.json").unlink(), "Run: hlgfa calibrate"),
        (lambda model: (model / "model.onnx").write_bytes(b"no onnx"), "was changed or is incomplete"),
        (lambda model: (model / "model.json").write_text("{"), "model.json: cannot be read"),
    ],
)
def test_what_is_missing_or_corrupt_is_one_line_and_nothing_is_written(
    model: Path, change: object, words: str
) -> None:
    assert callable(change)
    change(model)
    done = build_engine("--model", model, "--target", "openvino")
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (model / "engines").exists()


def test_an_unknown_target_is_refused(model: Path) -> None:
    done = build_engine("--model", model, "--target", "abacus")
    assert done.returncode == 2
    assert "abacus" in done.stderr
