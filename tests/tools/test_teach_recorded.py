"""`hlgfa teach --from`: recordings and folders, beside a running station whose recipe is replaced."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from calibration.images import list_images
from calibration.record import CalibrationError
from engines.records import file_sha256
from pipeline.config import ConfigError
from pipeline.messages import RecipeSummary
from pipeline.recipes.recipe import read_recipe
from pipeline.recording import RecordingError, open_recording
from support.lines import paint_parts
from support.station_process import COMMAND, StationProcess
from support.teaching import CONFIG, PART, SIMULATED, a_verdict, make_teaching_station
from tools.record import record
from tools.teach import teach

RECORDING = Path("parts.mcap")
FRAMES = Path("teach/part/frames")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory of a station with a simulated camera and an empty folder of recipes."""
    make_teaching_station(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def good_frames() -> list[Any]:
    """Pixels of the good parts in the recording."""
    with open_recording(RECORDING) as recording:
        frames = [recording.read(ref) for ref in recording.frames_of("cam1")]
    return [frame.pixels for frame in frames if frame.header.truth == "good"]


def change(root: Path) -> RecipeSummary:
    """Have the running station change to recipe 7; the recipe of a verdict after that."""
    command = [*COMMAND, "recipe", "change", "7"]
    changed = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert changed.returncode == 0, changed.stderr + changed.stdout
    return active(root)


def active(root: Path) -> RecipeSummary:
    found = a_verdict(root).recipe
    assert found is not None
    return found


@pytest.mark.slow
def test_a_recording_replaces_the_recipe_that_a_running_station_judges_by(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record(CONFIG, RECORDING, frames=40)
    teach(CONFIG, **PART, source=RECORDING)
    taken = [np.asarray(Image.open(path)) for path in list_images(FRAMES)]
    assert np.array_equal(taken, good_frames()[:14])
    first = {path: file_sha256(path) for path in (root / "part").iterdir()}
    with StationProcess(CONFIG) as station:
        assert change(root).version == 1
        with pytest.raises(CalibrationError, match=r"teach/part: exists\. Add --resume"):
            teach(CONFIG, **PART, source=RECORDING, replace=True)
        capsys.readouterr()
        teach(CONFIG, **PART | {"parts": 12}, source=RECORDING, replace=True, force=True)
        assert "version 1 of recipe 7 was active last" in capsys.readouterr().err
        found = read_recipe(root / "recipes" / "part.yaml").recipe
        assert (found.version, Path(found.model).name) == (2, "part-v2")
        assert {path: file_sha256(path) for path in first} == first
        assert active(root).version == 1
        assert change(root).version == 2
        station.terminate()
        assert station.finish()[0] == 0


def test_a_recording_that_ends_early_teaches_what_it_has(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record(CONFIG, RECORDING, frames=18)
    good = len(good_frames())
    assert 10 <= good < 14
    teach(CONFIG, **PART, source=RECORDING)
    said = capsys.readouterr()
    assert "the images ended; asked for were 14" in said.err
    assert f"{18 - good} parts are defective" in said.err
    assert f"from {good} good parts, each scored by a fit without it" in said.out

    RECORDING.unlink()
    teach(CONFIG, **PART, source=RECORDING, resume=True)
    assert f"{good} images are there" in capsys.readouterr().out


def test_a_recording_of_too_few_parts_is_refused(root: Path) -> None:
    record(CONFIG, RECORDING, frames=6)
    with pytest.raises(ConfigError, match=rf"found {len(good_frames())} good parts until its images ended"):
        teach(CONFIG, **PART, source=RECORDING)
    assert not list((root / "recipes").iterdir())


@pytest.mark.parametrize(
    ("recorded", "words"),
    [
        ({"name": "cam2"}, r"found frames of cam2 in parts.mcap, .* hlgfa record --camera cam1"),
        ({"width_px": 96}, r"found frames of 96x64 Mono8 of cam1 .*, expected 64x64 Mono8"),
        ({"pixel_format": "RGB8"}, r"found frames of 64x64 RGB8 of cam1 .*, expected 64x64 Mono8"),
    ],
)
def test_a_recording_of_another_camera_or_format_is_refused_before_anything_is_written(
    root: Path, tmp_path_factory: pytest.TempPathFactory, recorded: dict[str, Any], words: str
) -> None:
    other = tmp_path_factory.mktemp("other")
    make_teaching_station(other, SIMULATED | recorded)
    record(other / CONFIG, RECORDING, frames=12)
    with pytest.raises(ConfigError, match=words):
        teach(CONFIG, **PART, source=RECORDING)
    assert not (root / "teach").exists()


@pytest.mark.parametrize(
    ("content", "error", "words"),
    [(None, ConfigError, "--from: found parts.mcap, expected"), (b"text", RecordingError, "parts.mcap")],
)
def test_what_is_no_recording_is_refused_before_anything_is_written(
    root: Path, content: bytes | None, error: type[Exception], words: str
) -> None:
    if content is not None:
        RECORDING.write_bytes(content)
    with pytest.raises(error, match=words):
        teach(CONFIG, **PART, source=RECORDING)
    assert not (root / "teach").exists()


def test_an_image_of_another_size_among_others_is_named(root: Path) -> None:
    paint_parts(root / "images", 4)
    paint_parts(root / "images" / "wide", 1, size=96)
    with pytest.raises(ConfigError, match=r"a frame of 96x96 Mono8 \(wide/part0000.png\), expected 64x64"):
        teach(CONFIG, **PART, source=Path("images"))
    assert len(list_images(FRAMES)) == 4
