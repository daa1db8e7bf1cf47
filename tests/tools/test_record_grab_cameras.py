"""Commands that look at cameras without a station: real processes, as a person runs them."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner

import tools.cameras
from pipeline.cameras.camera import CameraError, FoundCamera
from pipeline.recording import open_recording
from support.lines import folder_camera, make_raw_config, paint_parts
from tools.cli import app

PARTS = 12
COMMAND = [sys.executable, "-m", "tools.cli"]


def hlgfa(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    return paint_parts(tmp_path / "parts", PARTS)


def write(root: Path, *cameras: dict[str, Any]) -> Path:
    path = root / "config.yaml"
    path.write_text(yaml.safe_dump(make_raw_config(root, list(cameras))))
    return path


def test_all_frames_of_all_cameras_are_recorded(tmp_path: Path, parts: Path) -> None:
    software = {"source": "software", "period_ms": 5}
    config = write(tmp_path, folder_camera(parts), folder_camera(parts, "cam2", trigger=software))
    done = hlgfa("record", config, "--out", tmp_path / "x.mcap")
    assert done.returncode == 0, done.stderr
    assert f"{2 * PARTS} frames" in done.stdout
    with open_recording(tmp_path / "x.mcap") as recording:
        assert not recording.torn
        assert (recording.info.line, recording.info.station) == ("demo", "s1")
        for camera in ("cam1", "cam2"):
            frames = [recording.read(ref) for ref in recording.frames_of(camera)]
            assert [f.header.source for f in frames] == [f"part{n:04}.png" for n in range(PARTS)]
            for frame in frames:
                image = np.asarray(Image.open(parts / str(frame.header.source)))
                assert np.array_equal(frame.pixels, image)


@pytest.mark.parametrize(("option", "value", "expected"), [("--frames", 5, 5), ("--seconds", 0.5, None)])
def test_it_stops_by_itself(tmp_path: Path, parts: Path, option: str, value: float, expected: Any) -> None:
    config = write(tmp_path, folder_camera(parts, loop=True), folder_camera(parts, "cam2", loop=True))
    out = tmp_path / "x.mcap"
    done = hlgfa("record", config, "--out", out, "--camera", "cam2", option, value)
    assert done.returncode == 0, done.stderr
    with open_recording(out) as recording:
        assert set(recording.cameras) == {"cam2"}
        assert len(recording.frames) > 0
        assert expected in (None, len(recording.frames))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_a_whole_file(tmp_path: Path, parts: Path, number: signal.Signals) -> None:
    config, out = write(tmp_path, folder_camera(parts, loop=True)), tmp_path / "x.mcap"
    command = [*COMMAND, "record", str(config), "--out", str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as recorder:
        while not out.exists() or out.stat().st_size < 10_000:
            assert recorder.poll() is None
            os.sched_yield()
        recorder.send_signal(number)
        _, err = recorder.communicate(timeout=30)
    assert recorder.returncode == 0, err
    assert "Traceback" not in err
    with open_recording(out) as recording:
        assert not recording.torn


def test_a_gap_of_the_camera_is_said_and_is_the_exit_code(tmp_path: Path, parts: Path) -> None:
    camera = folder_camera(parts, trigger={"source": "freerun"}, rate_hz=20_000, loop=True)
    done = hlgfa("record", write(tmp_path, camera), "--out", tmp_path / "x.mcap", "--frames", 5)
    assert done.returncode == 1
    assert "the recording has gaps: 0 frames came faster" in done.stderr
    with open_recording(tmp_path / "x.mcap") as recording:
        ids = [recording.read(ref).header.frame_id for ref in recording.frames]
    missed = sum(b - a - 1 for a, b in itertools.pairwise(ids))
    assert f"{missed} never came from the camera" in done.stderr


def test_refusals_are_one_line(tmp_path: Path, parts: Path) -> None:
    on_request = folder_camera(parts, "cam2", trigger={"source": "software"})
    config, out = write(tmp_path, folder_camera(parts), on_request), tmp_path / "x.mcap"
    out.write_bytes(b"mine")
    for arguments, words in (
        (("--camera", "cam1"), "exists. Choose another --out, or add --force"),
        (("--camera", "cam9"), "--camera: found 'cam9', expected one of: cam1, cam2."),
        (("--camera", "cam2"), "camera cam2: found trigger source 'software' without period_ms"),
    ):
        done = hlgfa("record", config, "--out", out, *arguments)
        assert done.returncode == 2
        [line] = done.stderr.splitlines()
        assert words in line
    assert out.read_bytes() == b"mine"
    assert hlgfa("record", config, "--out", out, "--camera", "cam1", "--force").returncode == 0


def test_a_camera_that_cannot_be_opened_leaves_no_file(tmp_path: Path) -> None:
    config = write(tmp_path, folder_camera(tmp_path / "nowhere"))
    done = hlgfa("record", config, "--out", tmp_path / "x.mcap")
    assert done.returncode == 2
    assert "found no directory" in done.stderr
    assert not (tmp_path / "x.mcap").exists()


def test_grab_saves_images_and_their_headers(tmp_path: Path, parts: Path) -> None:
    config = write(tmp_path, folder_camera(parts))
    done = hlgfa("grab", config, "--out", tmp_path / "grabbed", "--frames", 3)
    assert done.returncode == 0, done.stderr
    images = sorted((tmp_path / "grabbed").glob("*.png"))
    assert [path.name for path in images] == [f"cam1-{n:06}.png" for n in range(3)]
    for path in images:
        header = json.loads(path.with_suffix(".json").read_text())
        assert np.array_equal(np.asarray(Image.open(path)), np.asarray(Image.open(parts / header["source"])))
    assert "exists" in hlgfa("grab", config, "--out", tmp_path / "grabbed").stderr


class _Shelf:
    """A module of a camera kind, as far as `hlgfa cameras` looks at it."""

    @staticmethod
    def discover() -> list[FoundCamera]:
        found = {"serial": "0815", "address": "10.0.0.2", "note": "in use [by another]"}
        return [FoundCamera(kind="shelf", vendor="V", model="M", **found)]


class _Broken:
    @staticmethod
    def discover() -> list[FoundCamera]:
        raise CameraError("broken: the driver does not answer. Restart it.")


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "shelf", _Shelf)
    monkeypatch.setitem(sys.modules, "broken", _Broken)
    kinds = [
        tools.cameras.Kind("shelf", "shelf", "-"),
        tools.cameras.Kind("broken", "broken", "-"),
        tools.cameras.Kind("absent", "absent_sdk", "pip install 'hlgfa-line[absent]'"),
    ]
    monkeypatch.setattr(tools.cameras, "KINDS", kinds)


@pytest.mark.usefixtures("shelf")
def test_cameras_are_listed_and_a_missing_library_is_one_line() -> None:
    done = CliRunner().invoke(app, ["cameras"], env={"COLUMNS": "140"})
    assert done.exit_code == 0
    for words in ("0815", "10.0.0.2", "in use [by another]"):
        assert words in done.stdout
    assert done.stderr.splitlines() == [
        "broken: broken: the driver does not answer. Restart it.",
        "absent: not installed: pip install 'hlgfa-line[absent]'",
    ]


@pytest.mark.usefixtures("shelf")
def test_cameras_as_json() -> None:
    [found] = json.loads(CliRunner().invoke(app, ["cameras", "--json"]).stdout)
    assert found["kind"] == "shelf"
    assert found["note"] == "in use [by another]"
