"""The three verbs one after the other, as a person runs them, on small synthetic parts."""

import json
import shutil
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
import typer
from PIL import Image

from calibration.parts import load_parts, save_parts
from calibration.record import CalibrationError, load_calibration
from engines.engine import EngineError
from engines.manifest import load_manifest
from support.parts import good_part, write_parts
from tools.calibrate import calibrate
from tools.evaluate import evaluate
from tools.train import train

KEYS = {"image_auroc", "pixel_auroc", "aupro", "f1", "false_reject_rate", "miss_rate", "ms_per_image"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_parts(tmp_path_factory.mktemp("data") / "disc", train=30)


@pytest.fixture(scope="module")
def model(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("models") / "disc"
    train(data, out, size="128", steps=4, threads=1)
    calibrate(out)
    return out


def test_a_model_folder_is_whole(model: Path, data: Path) -> None:
    manifest = load_manifest(model)
    parts = load_parts(model / "parts.json", model_sha256=manifest.model_sha256)
    assert manifest.model_id == f"disc-{manifest.model_sha256[:8]}"
    assert manifest.input_shape == (96, 96)
    assert manifest.data_parts == len(parts.fit) + len(parts.hold_out) == 30
    assert sorted(p.name for p in model.iterdir()) == [
        *("calibration.json", "model.json", "model.onnx", "parts.json")
    ]
    assert str(data) not in (model / "model.json").read_text() + (model / "parts.json").read_text()


def test_the_calibration_belongs_to_the_model_and_admits_few_parts(model: Path) -> None:
    record = load_calibration(model / "calibration.json", model_sha256=load_manifest(model).model_sha256)
    assert record.parts == 6
    assert record.warning is not None
    assert "needs 99" in record.warning


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_the_report_has_every_key_for_all_and_for_each_kind(
    model: Path, data: Path, tmp_path: Path, runtime: str
) -> None:
    evaluate(model, data, tmp_path / "report.json", tmp_path / "heatmaps", runtime=runtime, threads=1)
    report = json.loads((tmp_path / "report.json").read_text())
    assert report.keys() >= KEYS
    assert report["kinds"]["scratch"].keys() >= KEYS
    assert report["image_auroc"] == 1.0
    assert report["pixel_auroc"] > 0.9
    assert report["miss_rate"] == 0.0
    overlay = cv2.imread(str(tmp_path / "heatmaps" / "scratch" / "000.png"))
    assert overlay.shape == (96, 192, 3)


def test_calibrating_on_the_training_folder_leaves_out_what_training_saw(
    model: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = load_calibration(model / "calibration.json", model_sha256=load_manifest(model).model_sha256)
    calibrate(model, data, threads=1)
    assert "left out 24 of 30 parts" in capsys.readouterr().out
    after = load_calibration(model / "calibration.json", model_sha256=load_manifest(model).model_sha256)
    assert after.parts == 6
    assert after.threshold == pytest.approx(before.threshold, abs=1e-4)


def test_the_report_says_what_each_amount_of_nuisances_does(model: Path, data: Path, tmp_path: Path) -> None:
    evaluate(model, data, tmp_path / "report.json", nuisances="0.001,2", threads=1)
    report = json.loads((tmp_path / "report.json").read_text())
    faint, strong = report["nuisances"]["0.001"], report["nuisances"]["2"]
    assert faint["false_reject_rate"] == report["false_reject_rate"]  # nothing is left of them in 8 bits
    assert strong["false_reject_rate"] > faint["false_reject_rate"]


@pytest.mark.parametrize("amounts", ["many", "1,,2", "-1", "0", "nan", "11"])
def test_an_amount_of_nuisances_that_is_none_is_refused(model: Path, data: Path, amounts: str) -> None:
    with pytest.raises(typer.BadParameter, match=r"expected numbers above 0, at most 10"):
        evaluate(model, data, nuisances=amounts)


def test_a_threshold_above_nuisances_is_asked_for_and_recorded(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "disc"
    shutil.copytree(model, folder)
    sha256 = load_manifest(folder).model_sha256
    held = load_parts(folder / "parts.json", model_sha256=sha256).hold_out
    assert all(part.disturbed_score not in {None, part.score} for part in held)
    plain = load_calibration(folder / "calibration.json", model_sha256=sha256)
    calibrate(folder)
    above = sum((part.disturbed_score or 0) >= plain.threshold for part in held)
    assert f"{above} of these parts would be rejected; --nuisances" in capsys.readouterr().out
    calibrate(folder, nuisances=True)
    with_them = load_calibration(folder / "calibration.json", model_sha256=sha256)
    assert with_them.nuisances
    assert not plain.nuisances
    assert with_them.threshold >= max(max(part.score, part.disturbed_score or 0) for part in held)
    assert "--nuisances" not in capsys.readouterr().out


def test_a_model_without_nuisances_cannot_be_calibrated_for_them(model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "disc"
    shutil.copytree(model, folder)
    parts = load_parts(folder / "parts.json", model_sha256=load_manifest(folder).model_sha256)
    held = [msgspec.structs.replace(part, disturbed_score=None) for part in parts.hold_out]
    save_parts(msgspec.structs.replace(parts, hold_out=held), folder / "parts.json")
    before = (folder / "calibration.json").read_bytes()
    with pytest.raises(CalibrationError, match="trained without nuisances"):
        calibrate(folder, nuisances=True)
    assert (folder / "calibration.json").read_bytes() == before


def test_only_parts_that_training_saw_are_refused(model: Path, data: Path, tmp_path: Path) -> None:
    parts = load_parts(model / "parts.json", model_sha256=load_manifest(model).model_sha256)
    for part in parts.fit[:3]:
        (tmp_path / Path(part.name).name).write_bytes((data / part.name).read_bytes())
    with pytest.raises(CalibrationError, match="training saw all 3 parts"):
        calibrate(model, tmp_path)


def test_evaluating_without_calibration_is_refused(model: Path, data: Path, tmp_path: Path) -> None:
    for name in ("model.onnx", "model.json"):
        (tmp_path / name).write_bytes((model / name).read_bytes())
    with pytest.raises(CalibrationError, match=r"calibration.json: not found.*hlgfa calibrate"):
        evaluate(tmp_path, data)


def test_an_existing_model_is_not_overwritten(model: Path, data: Path) -> None:
    with pytest.raises(CalibrationError, match=r"exists\. Choose another --out, or add --force"):
        train(data, model, steps=0)


def test_a_stopped_training_leaves_what_resume_needs(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("calibration.fit.train_guidance", interrupted)
        with pytest.raises(typer.Exit) as stopped:
            train(data, tmp_path / "m", size="64", steps=1, threads=1)
    assert stopped.value.exit_code == 130
    assert "--resume" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [".m.resume"]
    with pytest.raises(CalibrationError, match="belongs to a training with other settings"):
        train(data, tmp_path / "m", size="64", steps=2, threads=1, resume=True)
    train(data, tmp_path / "m", size="64", steps=1, threads=1, resume=True)
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_colour_parts_of_mixed_sizes_are_scaled_to_their_median(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "parts"
    folder.mkdir()
    for index in range(12):
        size = 80 + index % 3
        Image.fromarray(good_part(index, size_px=size, channels=3)).save(folder / f"{index:02}.png")
    train(folder, tmp_path / "median", size="64", steps=0, threads=1)
    assert "found 3 image sizes" in capsys.readouterr().err
    assert load_manifest(tmp_path / "median").input_shape == (81, 81, 3)
    train(folder, tmp_path / "m", size="64x128", input_size="72x140", steps=0, threads=1)
    manifest = load_manifest(tmp_path / "m")
    assert manifest.input_shape == (72, 140, 3)
    assert (manifest.map_height, manifest.map_width) == (16, 32)
    assert manifest.training["input_resampled"] is True
    calibrate(tmp_path / "m")


def test_grey_and_colour_parts_together_are_refused(tmp_path: Path) -> None:
    for index in range(12):
        Image.fromarray(good_part(index, channels=1 if index else 3)).save(tmp_path / f"{index:02}.png")
    with pytest.raises(CalibrationError, match=r"found .*channel.*, expected one kind"):
        train(tmp_path, tmp_path / "m", steps=0)


def test_a_model_of_other_bytes_is_refused(model: Path, tmp_path: Path) -> None:
    manifest = msgspec.structs.replace(load_manifest(model), model_sha256="0" * 64)
    (tmp_path / "model.json").write_bytes(msgspec.json.encode(manifest))
    (tmp_path / "model.onnx").write_bytes((model / "model.onnx").read_bytes())
    with pytest.raises(EngineError, match="found sha256"):
        calibrate(tmp_path)


def test_scores_are_finite_on_black_and_white(model: Path) -> None:
    from engines.load import open_engine

    with open_engine(model, runtime="onnxruntime", threads=1) as engine:
        for value in (0, 255):
            output = engine.infer(np.full((96, 96), value, np.uint8))
            assert np.isfinite(output.score)
            assert np.isfinite(output.anomaly_map).all()
