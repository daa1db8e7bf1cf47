"""`hlgfa calibrate --review`: shown first, written only when somebody answers for it."""

import hashlib
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

from calibration.marks import Mark, MarkKind, append_mark
from calibration.parts import HeldOutPart, Parts, save_parts
from calibration.record import CalibrationError, load_calibration
from engines.manifest import load_manifest
from pipeline.messages import EventHeader
from support.lines import folder_camera, make_config, paint_parts, running
from support.tiny_model import THRESHOLD
from tools.calibrate import calibrate


@pytest.fixture
def line(tmp_path: Path) -> Path:
    """A folder with a model, a journal with scores of 0 and 100, and marks: 80 false, 100 bad."""
    config = make_config(tmp_path, [folder_camera(paint_parts(tmp_path / "parts", 10))])
    sha256 = load_manifest(tmp_path / "model").model_sha256
    rng = np.random.default_rng(1)
    held = [HeldOutPart(f"{i}", f"{i}", float(score)) for i, score in enumerate(rng.uniform(1, 60, 120))]
    save_parts(Parts(model_sha256=sha256, fit=[], hold_out=held), tmp_path / "model" / "parts.json")
    with running(config) as station:
        station.finish()
    mark(tmp_path, "false_reject", 80.0, 1, sha256)
    mark(tmp_path, "really_bad", 100.0, 2, sha256)
    mark(tmp_path, "really_bad", 1.0, 3, "b" * 64)
    return tmp_path


def mark(root: Path, kind: MarkKind, score: float, number: int, sha256: str) -> None:
    said = Mark(
        result_id=f"epoch-{number}",
        mark=kind,
        who="Ada",
        marked_ns="1790000000000000000",
        camera="cam1",
        entry=f"2026/{number}",
        score=score,
        threshold=THRESHOLD,
        model_sha256=sha256,
    )
    append_mark(root / "marks.jsonl", said)


def propose(root: Path, **more: object) -> None:
    options = {"review": root / "marks.jsonl", "journal": root / "journal"} | more
    calibrate(root / "model", **options)  # type: ignore[arg-type]


def test_it_is_shown_and_nothing_is_written(line: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = line / "model" / "calibration.json"
    before = path.read_bytes()
    propose(line, png=line / "seen.png")
    shown = capsys.readouterr()
    assert "threshold 50.0000 -> 80.8000" in shown.out
    assert "false rejects of good parts" in shown.out
    assert "<- old threshold" in shown.out
    assert "<- new threshold" in shown.out
    assert "epoch-3: judged by model bbbbbbbbbbbb" in shown.err
    assert "1 parts marked bad are few" in shown.err
    assert path.read_bytes() == before
    picture = cv2.imread(str(line / "seen.png"))
    assert picture.shape == (510, 860, 3)


def test_it_is_taken_over_by_name_and_the_station_says_so(line: Path) -> None:
    propose(line, apply=True, operator="Grace")
    sha256 = load_manifest(line / "model").model_sha256
    record = load_calibration(line / "model" / "calibration.json", model_sha256=sha256)
    assert record.threshold == pytest.approx(80.8)
    assert record.review is not None
    assert (record.review.operator, record.review.old_threshold) == ("Grace", THRESHOLD)
    assert record.review.marks_sha256 == hashlib.sha256((line / "marks.jsonl").read_bytes()).hexdigest()
    config = make_config(line, [folder_camera(line / "parts")])
    with running(config, stop_after=2) as station:
        station.finish()
    events = [message.header for message in station.messages if isinstance(message.header, EventHeader)]
    assert any("from a review by Grace" in event.text for event in events)
    assert {result.threshold for result in station.results} == {record.threshold}


def test_nobody_takes_it_over_without_a_name(line: Path) -> None:
    with pytest.raises(CalibrationError, match="no --operator"):
        propose(line, apply=True)


def test_a_torn_last_line_is_passed_over_with_a_warning(
    line: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (line / "marks.jsonl").open("ab") as file:
        file.write(b'{"schema":"hlgfa.mark/1.0","result_id":"epoch-9","mark":"really_bad","score":0.1')
    propose(line)
    shown = capsys.readouterr()
    assert "the last line has no end" in shown.err
    assert "-> 80.8000" in shown.out


def test_marks_of_another_model_alone_are_refused(line: Path) -> None:
    marks = line / "marks.jsonl"
    foreign = [data for data in marks.read_bytes().splitlines(keepends=True) if b"bbbb" in data]
    marks.write_bytes(b"".join(foreign))
    with pytest.raises(CalibrationError, match="none of them of a score of model"):
        propose(line)


def test_a_calibration_of_today_reads_one_of_yesterday(line: Path) -> None:
    path = line / "model" / "calibration.json"
    plain = msgspec.json.decode(path.read_bytes())
    for key in ("good_scores", "review"):
        plain.pop(key)
    path.write_bytes(msgspec.json.encode(plain))
    sha256 = load_manifest(line / "model").model_sha256
    assert load_calibration(path, model_sha256=sha256).good_scores is None
