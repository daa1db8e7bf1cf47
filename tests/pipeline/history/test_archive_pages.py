"""The archive read by pages: newest first, across days, with entries that vanish or are damaged."""

from pathlib import Path

import msgspec
import pytest

from pipeline.history.archive_entry import Entry
from pipeline.history.archive_pages import find, page
from pipeline.messages import Reason
from support.results import make_result


def write(directory: Path, day: str, ordinal: int, reason: Reason = Reason.ANOMALY) -> str:
    result = make_result(ordinal, reason=reason)
    stem = directory / day / f"{ordinal:012}+cam1+{result.result_id}"
    stem.parent.mkdir(parents=True, exist_ok=True)
    stem.with_suffix(".json").write_bytes(msgspec.json.encode(Entry(result=result, heatmap=None)))
    return result.result_id


def test_pages_follow_one_another_without_a_gap(tmp_path: Path) -> None:
    written = [write(tmp_path, f"2026030{1 + number // 4}", number) for number in range(1, 11)]
    write(tmp_path, "20260301", 99, Reason.OK)
    (tmp_path / "20260302" / "000000000005+cam1+broken.json").write_text("{")
    (tmp_path / "20260302" / "notes.json").write_text("{}")
    seen: list[str] = []
    before: str | None = None
    while True:
        found, before = page(tmp_path, before=before, count=3, rejects=True)
        seen += [item.entry.result.result_id for item in found]
        if before is None:
            break
    assert seen == written[::-1]
    assert page(tmp_path / "none", before=None, count=3, rejects=True).found == []


@pytest.mark.parametrize("result_id", ["../../etc/passwd", "*", "", "epoch-77", "a" * 200])
def test_what_is_not_there_is_not_found(tmp_path: Path, result_id: str) -> None:
    known = write(tmp_path, "20260301", 7)
    assert find(tmp_path, result_id) is None
    found = find(tmp_path, known)
    assert found is not None
    assert found.entry.result.result_id == known
