"""Marks of the review: kept in order, the last one counts, a torn end harms nothing."""

from pathlib import Path

import msgspec
import pytest

from calibration.marks import Mark, append_mark, read_marks
from calibration.record import CalibrationError


def mark(result_id: str, kind: str, who: str = "Anna") -> Mark:
    fields = {
        "result_id": result_id,
        "mark": kind,
        "who": who,
        "marked_ns": "1",
        "camera": "cam1",
        "entry": f"20260301/120000000000+cam1+{result_id}",
        "score": 2.0,
        "threshold": 1.0,
        "model_sha256": None,
    }
    return msgspec.convert(fields, Mark)


def test_the_last_mark_of_a_result_counts_and_none_takes_it_back(tmp_path: Path) -> None:
    path = tmp_path / "marks.jsonl"
    assert read_marks(path) == {}
    said = (("a", "really_bad"), ("b", "really_bad"), ("a", "false_reject"), ("b", "none"))
    for one in (mark(*words) for words in said):
        append_mark(path, one)
    assert read_marks(path) == {"a": mark("a", "false_reject")}
    assert path.read_bytes().count(b"\n") == 4


def test_what_a_loss_of_power_has_left_is_passed_over_and_then_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "marks.jsonl"
    append_mark(path, mark("a", "really_bad"))
    with path.open("ab") as file:
        file.write(b'{"schema":"hlgfa.ma')
    assert list(read_marks(path)) == ["a"]
    append_mark(path, mark("b", "false_reject"))
    assert list(read_marks(path)) == ["a", "b"]


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "marks.jsonl"
    append_mark(path, mark("a", "really_bad"))
    path.write_bytes(path.read_bytes() + b'{"mark":"fine"}\n')
    with pytest.raises(CalibrationError, match="line 2 is no mark"):
        read_marks(path)
