"""Real parts: bottle with the defaults of the commands but for the steps.

The bars of the first milestone, then a whole line that monitors the test images with two kinds of camera. One
file, so that one process trains for all of it.
"""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import zmq
from PIL import Image
from sklearn.metrics import roc_auc_score

from pipeline import requests
from pipeline.config import parse_config
from pipeline.messages import HeatmapHeader
from pipeline.stream_check import Stale
from support.bottle import BOTTLE, needs_bottle
from support.lines import Line, make_raw_config, running

pytestmark = needs_bottle


@pytest.fixture(scope="module")
def report(bottle_report: Path) -> dict[str, float]:
    found: dict[str, float] = json.loads(bottle_report.read_text())
    return found


def test_image_auroc(report: dict[str, float]) -> None:
    assert report["image_auroc"] >= 0.98


def test_regions_are_where_the_defects_are(report: dict[str, float]) -> None:
    assert report["pixel_auroc"] >= 0.975
    assert report["aupro"] >= 0.92


def test_the_threshold_holds_on_unseen_parts(report: dict[str, float]) -> None:
    assert report["false_reject_rate"] <= 0.1  # two of twenty; the record's own bound is 6.9 %
    assert report["miss_rate"] <= 0.05


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The test images in one flat folder, losslessly: the emulator reads no subfolders."""
    folder = tmp_path_factory.mktemp("parts")
    for path in sorted((BOTTLE / "test").rglob("*.jpg")):
        with Image.open(path) as image:
            image.save(folder / f"{path.parent.name}-{path.stem}.png")
    return folder


def monitor(root: Path, model: Path, camera: dict[str, Any], *, plc_triggers: int | None = None) -> Line:
    """Run a line until the camera ends, or for so many triggers of a PLC."""
    raw = make_raw_config(root, [{"name": "cam1", "width_px": 512, "height_px": 512} | camera])
    raw["engine"] = {"model": str(model), "runtime": "onnxruntime", "threads": 2}
    with running(parse_config(raw, origin="test"), stop_after=plc_triggers) as line:
        if plc_triggers is not None:
            trigger_each(line, plc_triggers)
        report = line.finish()
    assert report.restarts == 0
    return line


def trigger_each(line: Line, count: int) -> None:
    """As a PLC does: the next trigger only after the result, so that no slow machine is overtriggered."""
    with zmq.Context() as context, context.socket(zmq.REQ) as plc:
        plc.connect(line.station.endpoints["replay"])
        line.wait_for(lambda: any(status.ready for status in line.statuses), "ready")
        for number in range(count):
            plc.send(requests.encode(requests.TriggerRequest(trigger_id=number)))
            reply = requests.decode_reply(plc.recv())
            assert isinstance(reply, requests.TriggerReply)
            assert reply.taken
            line.wait_for(lambda n=number: len(line.results) > n, "the result")  # type: ignore[misc]


def check(line: Line, names: list[str]) -> None:
    """Every image one result on the topic with its heatmap, and the ranking of good and bad."""
    assert len(line.results) == len(names)
    missed = [notice for notice in line.notices if not isinstance(notice, Stale)]
    assert missed == []  # the cores may have others to serve first: then a status is late
    maps = {m.header.result_id: m for m in line.messages if isinstance(m.header, HeatmapHeader)}
    without = [(r.result_id, r.reason, r.score) for r in line.results if r.result_id not in maps]
    assert without == []
    assert len(maps) == len(names)
    scores = [result.score for result in line.results]
    assert None not in scores
    defective = [not name.startswith("good") for name in names]
    assert roc_auc_score(defective, scores) >= 0.98
    for result in line.results:
        failed = result.disposition == "reject"
        assert failed == bool(result.regions)
        anomaly_map = maps[result.result_id].anomaly_map()
        assert anomaly_map.shape == maps[result.result_id].header.shape


def test_a_folder_camera_over_the_test_images(tmp_path: Path, bottle_model: Path, parts: Path) -> None:
    camera = {
        "kind": "folder",
        "pixel_format": "RGB8",
        "trigger": {"source": "line"},
        "directory": str(parts),
        "rate_hz": 8,
    }
    line = monitor(tmp_path, bottle_model, camera)
    names = sorted(path.name for path in parts.iterdir())
    assert [result.frame and result.frame.source for result in line.results] == names
    check(line, names)


def test_the_pylon_emulator_over_the_test_images(
    tmp_path: Path, bottle_model: Path, parts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if find_spec("pypylon") is None:  # never imported here: the emulator must be asked for first
        pytest.skip("pypylon is not installed")
    monkeypatch.setenv("PYLON_CAMEMU", "1")
    names = sorted(path.name for path in parts.iterdir())
    camera = {
        "kind": "pylon",
        "pixel_format": "RGB8",
        "trigger": {"source": "software"},
        "features": {
            "TestImageSelector": "Off",
            "ImageFileMode": "On",
            "ImageFilename": str(parts),
        },
    }
    line = monitor(tmp_path, bottle_model, camera, plc_triggers=len(names))
    assert [result.trigger_source for result in line.results] == ["plc"] * len(names)
    check(line, names)
