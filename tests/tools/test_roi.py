"""A region of interest as a person uses it: drawn, trained under, replaced, evaluated, removed."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer
from PIL import Image

from calibration.calibrated import Calibrated, load_calibrated
from calibration.parts import load_parts
from calibration.record import CalibrationError
from calibration.roi import load_roi, read_roi
from engines.engine import EngineError
from engines.load import open_engine
from engines.manifest import load_manifest
from support.parts import SIZE_PX, write_parts
from tools.build_engine import build_engine
from tools.calibrate import calibrate
from tools.evaluate import evaluate
from tools.overlay import ROI_RGB
from tools.roi import roi
from tools.train import train

# The scratches of the synthetic parts lie in the rows 32..61 and the columns 32..63 of 96.
UPPER = "0,0 96,0 96,66 0,66"
LOWER = "0,70 96,70 96,96 0,96"
SIZE = (SIZE_PX, SIZE_PX)


def draw(path: Path, *include: str, exclude: list[str] | None = None, mask: Path | None = None) -> Path:
    roi(path, size="96x96", include=list(include), exclude=exclude, ignore_mask=mask, force=True)
    return path


def calibrated(model: Path) -> Calibrated:
    made = load_manifest(model)
    return load_calibrated(
        model,
        model_sha256=made.model_sha256,
        size_px=(made.input_height_px, made.input_width_px),
        map_shape=(made.map_height, made.map_width),
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_parts(tmp_path_factory.mktemp("data") / "disc", train=30)


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained and calibrated under UPPER less a corner that a mask ignores."""
    folder = tmp_path_factory.mktemp("models")
    corner = np.zeros(SIZE, np.uint8)
    corner[:12, :12] = 255
    Image.fromarray(corner).save(folder / "corner.png")
    drawn = draw(folder / "drawn.json", UPPER, mask=folder / "corner.png")
    train(data, folder / "disc", size="128", steps=0, threads=1, roi=drawn)
    calibrate(folder / "disc")
    return folder / "disc"


@pytest.fixture
def model(trained: Path, tmp_path: Path) -> Path:
    return shutil.copytree(trained, tmp_path / "disc")


def test_training_takes_the_region_and_its_held_out_scores(trained: Path, data: Path) -> None:
    drawn = read_roi(trained.parent / "drawn.json", SIZE)
    found = calibrated(trained)
    parts = load_parts(trained / "parts.json", model_sha256=load_manifest(trained).model_sha256)
    assert found.area is not None
    assert found.inspected is not None
    assert drawn.sha256 == found.area.sha256 == found.calibration.roi_sha256 == parts.roi_sha256
    assert found.area.pixels.sum() == 66 * 96 - 144
    with open_engine(trained, runtime="onnxruntime", threads=1) as engine:
        for part in parts.hold_out:
            image = np.asarray(Image.open(data / part.name))
            inside = engine.infer(image).anomaly_map[found.inspected]
            assert part.score == pytest.approx(inside.max(), abs=1e-6)


def test_evaluation_measures_what_is_inspected(trained: Path, data: Path, tmp_path: Path) -> None:
    evaluate(trained, data, tmp_path / "report.json", tmp_path / "heatmaps", threads=1)
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["roi_sha256"] == calibrated(trained).calibration.roi_sha256
    assert report["left_out"] == {}
    assert report["image_auroc"] == 1.0
    assert report["miss_rate"] == 0.0
    overlay = cv2.cvtColor(cv2.imread(str(tmp_path / "heatmaps" / "good" / "000.png")), cv2.COLOR_BGR2RGB)
    blue = (overlay == ROI_RGB).all(axis=2)
    rows = np.flatnonzero(blue[:, 90])  # map pixels are 3x3: the last inspected row is 65
    assert rows.tolist() == [0, 65]


def test_what_lies_outside_counts_nowhere(
    model: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One scratch is moved to where nothing is inspected: the part is left out, and said so."""
    copy = shutil.copytree(data, tmp_path / "data")
    truth = np.zeros(SIZE, np.uint8)
    truth[80:84, 30:60] = 255
    Image.fromarray(truth).save(copy / "ground_truth/scratch/000_mask.png")
    evaluate(model, copy, tmp_path / "report.json", threads=1)
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["left_out"] == {"scratch": 1}
    assert report["parts"] == 4 + 3
    assert "left out, defects wholly outside the region of interest: 1 of scratch" in capsys.readouterr().out


def test_a_defect_that_touches_the_region_counts_and_one_without_truth_too(
    model: Path, data: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(data, tmp_path / "data")
    truth = np.zeros(SIZE, np.uint8)
    truth[65:84, 30:60] = 255  # one row of it is inspected
    Image.fromarray(truth).save(copy / "ground_truth/scratch/000_mask.png")
    (copy / "ground_truth/scratch/001_mask.png").unlink()
    evaluate(model, copy, tmp_path / "report.json", threads=1)
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["left_out"], report["parts"]) == ({}, 8)


def test_a_region_without_any_defect_cannot_be_measured(model: Path, data: Path, tmp_path: Path) -> None:
    calibrate(model, data, roi=draw(tmp_path / "lower.json", LOWER), threads=1)
    with pytest.raises(CalibrationError, match=r"found all 4 defects outside, expected one inside"):
        evaluate(model, data, threads=1)


def test_another_region_needs_good_parts_to_score(model: Path, tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in model.iterdir()}
    lower = draw(tmp_path / "lower.json", LOWER)
    for options in ({"roi": lower}, {"no_roi": True}):
        with pytest.raises(CalibrationError, match=r"held-out parts under region of interest .*--good DIR"):
            calibrate(model, **options)  # type: ignore[arg-type]
    assert {path.name: path.read_bytes() for path in model.iterdir()} == before


def test_the_region_of_training_needs_none(model: Path, data: Path, trained: Path, tmp_path: Path) -> None:
    """Whatever the file is called: what counts is what it says."""
    first = calibrated(model).calibration
    calibrate(model, data, no_roi=True, threads=1)
    calibrate(model, roi=trained.parent / "drawn.json")
    assert calibrated(model).calibration.threshold == first.threshold


def test_a_region_is_replaced_and_removed_with_its_threshold(model: Path, data: Path, tmp_path: Path) -> None:
    first = calibrated(model)
    assert len(list(model.glob("*.png"))) == 1
    lower = draw(tmp_path / "lower.json", LOWER)
    calibrate(model, data, roi=lower, threads=1)
    second = calibrated(model)
    assert second.area is not None
    assert second.area.sha256 == read_roi(lower, SIZE).sha256 == second.calibration.roi_sha256
    assert second.calibration.threshold != first.calibration.threshold
    assert list(model.glob("*.png")) == []
    calibrate(model, data, threads=1)  # the folder's own region stays
    assert calibrated(model).calibration.threshold == second.calibration.threshold
    calibrate(model, data, no_roi=True, threads=1)
    assert load_roi(model, SIZE) is None
    assert calibrated(model).calibration.roi_sha256 is None
    with pytest.raises(CalibrationError, match=r"expected no region of interest.*--good DIR"):
        calibrate(model)


def test_a_region_that_the_threshold_is_not_for_is_refused(model: Path, data: Path, tmp_path: Path) -> None:
    raw = json.loads((model / "roi.json").read_text())
    raw["exclude"] = [[[0, 50], [9, 50], [9, 60]]]
    (model / "roi.json").write_text(json.dumps(raw))
    with pytest.raises(
        CalibrationError, match=r"found a threshold under region of interest .*Run: hlgfa cal"
    ):
        evaluate(model, data)
    with pytest.raises(CalibrationError, match="found a threshold under region of interest"):
        build_engine(model)
    (model / "roi.json").unlink()
    with pytest.raises(CalibrationError, match="expected one under no region of interest"):
        evaluate(model, data)


def test_a_broken_region_can_be_replaced_but_not_used(model: Path, data: Path, tmp_path: Path) -> None:
    (model / "roi.json").write_text("{")
    with pytest.raises(CalibrationError, match="cannot be read as a region of interest"):
        calibrate(model, data)
    calibrate(model, data, roi=draw(tmp_path / "upper.json", UPPER), threads=1)
    assert calibrated(model).area is not None


def test_both_options_are_refused(model: Path, tmp_path: Path) -> None:
    with pytest.raises(typer.BadParameter, match="expected one of them"):
        calibrate(model, roi=tmp_path / "x.json", no_roi=True)


def test_a_region_of_another_size_stops_training_before_it_begins(data: Path, tmp_path: Path) -> None:
    roi(tmp_path / "roi.json", size="48x96")
    with pytest.raises(CalibrationError, match="drawn on an image of 48x96 pixels, expected 96x96"):
        train(data, tmp_path / "m", roi=tmp_path / "roi.json")
    roi(tmp_path / "small.json", size="96x96", include=["0,0 1,0 1,1 0,1"])
    with pytest.raises(CalibrationError, match="found no pixel of the 32x32 anomaly map"):
        train(data, tmp_path / "m", size="128", roi=tmp_path / "small.json")
    assert not (tmp_path / "m").exists()


def test_training_anew_does_not_drop_the_region_in_silence(trained: Path, data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "m"
    shutil.copytree(trained, folder)
    before = sorted((path.name, path.read_bytes()) for path in folder.iterdir())
    with pytest.raises(
        CalibrationError, match=r"found a region of interest in the model to replace, expected"
    ):
        train(data, folder, size="64", steps=0, threads=1, force=True)
    assert sorted((path.name, path.read_bytes()) for path in folder.iterdir()) == before
    train(data, folder, size="64", steps=0, threads=1, force=True, roi=folder / "roi.json")
    assert (folder / "roi.json").read_bytes() == (trained / "roi.json").read_bytes()


def test_the_preview_is_bright_where_it_inspects(trained: Path, data: Path, tmp_path: Path) -> None:
    image = data / "test" / "good" / "000.png"
    out, picture = tmp_path / "roi.json", tmp_path / "seen" / "preview.png"
    hole = ["30,30 60,30 60,60 30,60"]
    roi(out, size="96x96", include=[UPPER], exclude=hole, preview=image, save_preview=picture)
    pixels, seen = (np.asarray(Image.open(path)) for path in (image, picture))
    inspected = read_roi(out, SIZE).pixels
    assert inspected.sum() == 66 * 96 - 900
    np.testing.assert_array_equal(seen, np.where(inspected, pixels, pixels // 3))
    # With a model the picture shows the anomaly map's grid: 65 rows are 21.7 map pixels, so 22 are inspected.
    shorter = ["0,0 96,0 96,65 0,65"]
    roi(out, model=trained, include=shorter, preview=image, save_preview=picture, force=True)
    on_grid = np.arange(96)[:, None] < 66
    np.testing.assert_array_equal(np.asarray(Image.open(picture)), np.where(on_grid, pixels, pixels // 3))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "both or neither of --model and --size"),
        ({"size": "96"}, "found '96', expected HEIGHTxWIDTH"),
        ({"size": "96x96", "include": ["1,2 3"]}, '--include: found .*expected "x,y x,y x,y"'),
        ({"size": "96x96", "preview": Path("x.png")}, "expected both or neither"),
    ],
)
def test_options_that_say_nothing_are_refused(tmp_path: Path, options: dict[str, object], words: str) -> None:
    with pytest.raises(typer.BadParameter, match=words):
        roi(tmp_path / "roi.json", **options)  # type: ignore[arg-type]


def test_drawing_refuses_what_would_be_refused_later(trained: Path, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "roi.json"
    with pytest.raises(CalibrationError, match=r"include\[0\]: found 2 vertices"):
        roi(out, size="96x96", include=["1,2 3,4"])
    with pytest.raises(CalibrationError, match=r"found the vertex \[-1, 0\]"):
        roi(out, size="96x96", include=["-1,0 3,4 5,0"])
    with pytest.raises(CalibrationError, match=r"--ignore-mask: .*cannot be read"):
        roi(out, size="96x96", ignore_mask=tmp_path / "none.png")
    image = data / "test" / "good" / "000.png"
    with pytest.raises(CalibrationError, match=r"found 96x96 pixels, expected 50x50"):
        roi(out, size="50x50", preview=image, save_preview=tmp_path / "p.png")
    with pytest.raises(EngineError, match="not found"):
        roi(out, model=tmp_path)
    assert not list(tmp_path.iterdir())
    with pytest.raises(CalibrationError, match=r"found a model folder.*hlgfa calibrate"):
        roi(trained / "roi.json", size="96x96", force=True)
    roi(out, size="96x96")
    with pytest.raises(CalibrationError, match=r"exists\. Choose another --out, or add --force"):
        roi(out, size="96x96")
