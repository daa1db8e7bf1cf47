"""The disk of a recording is full, or its recorder is killed: what was written stays readable."""

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from pipeline.cameras.part import render_part
from pipeline.recording import open_recording
from support.lines import make_raw_config
from support.small_disk import run_on_small_disk

SIZE = 128
RECORD = [sys.executable, "-m", "tools.cli", "record"]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    camera: dict[str, Any] = {
        "kind": "simulated",
        "name": "cam1",
        "width_px": SIZE,
        "height_px": SIZE,
        "pixel_format": "Mono8",
        "trigger": {"source": "line"},
        "seed": 3,
        "rate_hz": 100,
    }
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(make_raw_config(tmp_path, [camera])))
    return path


def check_frames(path: Path) -> int:
    """That every frame in the file is the part that was rendered; returns how many there are."""
    with open_recording(path) as recording:
        assert recording.torn
        for number, ref in enumerate(recording.frames):
            part = render_part(
                3, number, width_px=SIZE, height_px=SIZE, pixel_format="Mono8", defect_rate=0.1
            )
            frame = recording.read(ref)
            assert frame.header.truth == part.truth
            assert np.array_equal(frame.pixels, part.pixels)
        return len(recording.frames)


def test_a_full_disk_is_one_line_and_the_file_is_readable_up_to_there(tmp_path: Path, config: Path) -> None:
    """In a mount namespace of its own, on a disk of 256 KiB."""
    disk, rescued = tmp_path / "disk", tmp_path / "rescued.mcap"
    disk.mkdir()
    record = shlex.join([*RECORD, str(config), "--out", str(disk / "x.mcap")])
    shell = f"{record}; code=$?; cp {disk}/x.mcap {rescued}; exit $code"
    done = run_on_small_disk(["sh", "-c", shell], disk, "256k")
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    frames = check_frames(rescued)
    assert frames > 5
    assert line.startswith("error: ")
    assert f"No space left on device after {frames} frames. It is readable up to there." in line


def test_a_killed_recorder_leaves_its_frames(tmp_path: Path, config: Path) -> None:
    path = tmp_path / "x.mcap"
    with subprocess.Popen([*RECORD, str(config), "--out", str(path)], stderr=subprocess.PIPE) as recorder:
        try:
            while not path.exists() or path.stat().st_size < 100_000:
                assert recorder.poll() is None, recorder.stderr
                os.sched_yield()
            recorder.send_signal(signal.SIGKILL)
        finally:
            recorder.kill()
    assert check_frames(path) > 5
