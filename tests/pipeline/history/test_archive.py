"""Frames that are kept: as files, pruned, on a short disk, and from a running line."""

import json
import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest

from pipeline.config import ConfigError, parse_config
from pipeline.history.archive_entry import ArchiveError, Entry
from pipeline.history.archive_files import Archive
from pipeline.messages import HeatmapHeader, Reason
from pipeline.record_config import ArchiveConfig
from support.lines import folder_camera, make_raw_config, paint_parts, running
from support.messages import example
from support.results import make_result

PIXELS = np.arange(96, dtype=np.uint8).reshape(8, 12)


def settings(directory: Path, **changes: Any) -> ArchiveConfig:
    return ArchiveConfig(**{"directory": str(directory), "min_free_mib": 0, **changes})


def entry(ordinal: int) -> Entry:
    result = make_result(ordinal, reason=Reason.ANOMALY)
    heatmap = msgspec.structs.replace(example("heatmap"), result_id=result.result_id)
    return Entry(result=result, heatmap=heatmap)


def store(archive: Archive, count: int) -> None:
    for ordinal in range(1, count + 1):
        archive.store(entry(ordinal), PIXELS, b"packed %d" % ordinal)


def kept(directory: Path) -> list[str]:
    return sorted(path.stem.rpartition("-")[2] for path in directory.glob("*/*.json"))


def test_a_frame_is_kept_with_its_result_and_heatmap(tmp_path: Path) -> None:
    archive = Archive(settings(tmp_path / "new"))
    archive.store(entry(7), PIXELS, b"packed")
    [png] = (tmp_path / "new").glob("*/*.png")
    assert png.parent.name == "19700101"
    assert png.name == "000000000000+cam1+epoch-7.png"
    np.testing.assert_array_equal(cv2.imread(str(png), cv2.IMREAD_UNCHANGED), PIXELS)
    assert msgspec.json.decode(png.with_suffix(".json").read_bytes(), type=Entry) == entry(7)
    again = Archive(settings(tmp_path / "new"))
    for reader in (archive, again):
        frames = reader.find_heatmap("epoch-7")
        assert frames is not None
        assert frames[0] == b"hlgfa/1/press-3/outfeed/heatmap/cam1/"
        assert msgspec.json.decode(frames[1], type=HeatmapHeader) == entry(7).heatmap
        assert frames[2] == b"packed"
        assert reader.find_heatmap("epoch-8") is None


@pytest.mark.parametrize(
    "change", [(b'"line":"', b'"line":"<'), (b'"camera":"', b'"camera":"../'), (b"{", b"")]
)
def test_a_damaged_entry_has_no_heatmap_to_give(tmp_path: Path, change: tuple[bytes, bytes]) -> None:
    """Found by the fuzzer: a name that no topic can have would have ended the historian."""
    archive = Archive(settings(tmp_path))
    store(archive, 1)
    [path] = tmp_path.glob("*/*.json")
    path.write_bytes(path.read_bytes().replace(*change))
    assert archive.find_heatmap("epoch-1") is None


def test_colours_stay_what_they_are(tmp_path: Path) -> None:
    pixels = np.zeros((4, 4, 3), np.uint8)
    pixels[..., 0] = 200  # red
    Archive(settings(tmp_path)).store(entry(1), pixels, None)
    [png] = tmp_path.glob("*/*.png")
    assert cv2.imread(str(png), cv2.IMREAD_COLOR)[0, 0].tolist() == [0, 0, 200]


def test_the_oldest_go_by_size(tmp_path: Path) -> None:
    archive = Archive(settings(tmp_path))
    store(archive, 1)
    size = sum(path.stat().st_size for path in tmp_path.glob("*/*"))
    small = Archive(settings(tmp_path, keep_mib=3.5 * size / 2**20))
    for ordinal in range(2, 7):
        small.store(entry(ordinal), PIXELS, b"packed %d" % ordinal)
    assert kept(tmp_path) == ["4", "5", "6"]
    assert len(list(tmp_path.glob("*/*"))) == 9


def test_old_entries_go_by_age(tmp_path: Path) -> None:
    store(Archive(settings(tmp_path)), 3)
    for path in tmp_path.glob("*/*-2.json"):
        os.utime(path, (0, 0))
    for path in tmp_path.glob("*/*-1.json"):
        os.utime(path, (0, 0))
    archive = Archive(settings(tmp_path))
    assert archive.prune() == 2
    assert kept(tmp_path) == ["3"]


def test_a_short_disk_costs_the_oldest_and_then_refuses(tmp_path: Path) -> None:
    store(Archive(settings(tmp_path)), 3)
    short = Archive(settings(tmp_path, min_free_mib=1e8))
    with pytest.raises(ArchiveError, match=r"less than archive\.min_free_mib is free"):
        short.store(entry(4), PIXELS, None)
    assert list(tmp_path.glob("*/*")) == []


def test_a_disk_that_does_not_take_a_frame_leaves_nothing_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = Archive(settings(tmp_path))
    write = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        if path.suffix == ".json":
            raise OSError(28, "No space left on device")
        return write(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(ArchiveError, match="No space left on device"):
            archive.store(entry(1), PIXELS, b"packed")
    assert list(tmp_path.glob("*/*")) == []
    store(archive, 1)
    assert kept(tmp_path) == ["1"]


def test_half_an_entry_is_removed_at_the_next_start(tmp_path: Path) -> None:
    store(Archive(settings(tmp_path)), 2)
    for path in tmp_path.glob("*/*-1.json"):
        path.unlink()
    Archive(settings(tmp_path))
    assert len(list(tmp_path.glob("*/*"))) == 3


def test_a_directory_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ArchiveError, match=r"archive\.directory: .* cannot be written"):
        Archive(settings(tmp_path / "file" / "archive"))


# On a line


def make_raw(root: Path, **archive: Any) -> dict[str, Any]:
    raw = make_raw_config(root, [folder_camera(paint_parts(root / "parts", 20))])
    raw["archive"] = {"directory": str(root / "archive"), "min_free_mib": 0, **archive}
    return raw


def test_rejects_and_samples_of_a_line_are_kept(tmp_path: Path) -> None:
    raw = make_raw(tmp_path, accept_every=7)
    raw["heatmap"] = {"policy": "reject"}
    with running(parse_config(raw, origin="test")) as line:
        line.finish()
    wanted = {5, 10, 15, 20, 7, 14}
    assert kept(tmp_path / "archive") == sorted(str(ordinal) for ordinal in wanted)
    by_id = {result.result_id: result for result in line.results}
    for path in (tmp_path / "archive").glob("*/*.json"):
        found = msgspec.json.decode(path.read_bytes(), type=Entry)
        assert found.result == by_id[found.result.result_id]
        assert found.heatmap is not None
        source = found.result.frame.source if found.result.frame else None
        image = cv2.imread(str(path.with_suffix(".png")), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(image, cv2.imread(str(tmp_path / "parts" / str(source)), 0))
    published = [m for m in line.messages if isinstance(m.header, HeatmapHeader)]
    payloads = {message.header.result_id: message.payload for message in published}
    assert set(payloads) == {f"{line.results[0].epoch}-{ordinal}" for ordinal in wanted}
    for path in (tmp_path / "archive").glob("*/*.heatmap"):
        written = json.loads(path.with_suffix(".json").read_bytes())
        assert path.read_bytes() == payloads[written["result"]["result_id"]]


def test_a_short_disk_is_told_and_the_line_goes_on(tmp_path: Path) -> None:
    with running(parse_config(make_raw(tmp_path, min_free_mib=1e8), origin="test")) as line:
        report = line.finish()
    told = [event for event in line.events if "frames are not kept" in event.text]
    assert [event.severity for event in told] == ["warning"]
    assert kept(tmp_path / "archive") == []
    assert report.triggers == 20
    assert {result.reason_code for result in line.results} == {0, 1}


def test_a_historian_that_hangs_costs_frames_of_the_archive_and_nothing_else(tmp_path: Path) -> None:
    raw = make_raw(tmp_path)
    raw["cameras"][0] |= {"loop": True, "directory": str(paint_parts(tmp_path / "bad", 4, defect_every=1))}
    raw["station"]["child_silence_ms"] = 1_000
    raw["ring"] = {"slots": 32}  # a second start of a process slows a busy machine down
    with running(parse_config(raw, origin="test")) as line:
        line.wait_for(lambda: len(line.results) >= 5, "results")
        os.kill(line.station.process_ids["historian"], signal.SIGSTOP)
        line.wait_for(lambda: any("too slow for" in event.text for event in line.events), "the loss")
        line.wait_for(lambda: line.station.process_ids.get("historian") is not None, "a historian")
        line.wait_for(lambda: any("has fallen silent" in event.text for event in line.events), "its end")
        line.wait_for(lambda: line.statuses[-1].fault is None, "a new historian")
        before = len(kept(tmp_path / "archive"))
        line.wait_for(lambda: len(kept(tmp_path / "archive")) > before, "a frame that is kept")
        line.station.stop()
        line.finish()
    counts = Counter(result.reason for result in line.results)
    assert set(counts) == {"the score is not under the threshold"}, counts


def test_the_archive_may_not_take_the_whole_ring(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"archive\.queue_frames: found 7 of ring\.slots 8"):
        parse_config(make_raw(tmp_path, queue_frames=7), origin="test")
