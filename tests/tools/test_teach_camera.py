"""`hlgfa teach` with a GigE Vision camera over real UDP: Aravis' fake one, in a process of its own."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from calibration.images import list_images
from engines.records import file_sha256
from pipeline.cameras.camera import CameraError
from pipeline.recipes.recipe import read_recipe
from support.fake_gv_camera import FakeGvCamera, frame_bytes, missing_aravis
from support.private_network import private_network
from support.teaching import CONFIG, PART, make_teaching_station
from tools.teach import teach

if TYPE_CHECKING:
    from collections.abc import Iterator

WIDTH, HEIGHT = 96, 80
FRAMES = Path("teach/part/frames")
NUMBERS = range(65_401, 65_536)
"""Of the first frames that Aravis' fake camera sends."""
CAMERA: dict[str, Any] = {
    "kind": "aravis",
    "name": "gige",
    "width_px": WIDTH,
    "height_px": HEIGHT,
    "pixel_format": "Mono8",
    "address": "127.0.0.1",
    "packet_size_bytes": 8_000,
    "exposure_us": 500.0,
    "trigger": {"source": "software", "period_ms": 20},
}


@pytest.fixture(autouse=True)
def _station(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A station in the working directory, and a network that its camera can be on."""
    if (missing := missing_aravis()) is not None:
        pytest.skip(missing)
    monkeypatch.chdir(tmp_path)
    with private_network():
        yield


def sent_as(path: Path) -> int:
    """Number of the frame that the camera sent with these pixels."""
    pixels = np.asarray(Image.open(path)).ravel()
    return next(n for n in NUMBERS if np.array_equal(frame_bytes(n, 16), pixels[:16]))


def kill_after(camera: FakeGvCamera, images: int) -> threading.Thread:
    """End the camera as soon as so many images are saved."""

    def watch() -> None:
        ended = threading.Event()
        while len(list_images(FRAMES)) < images:
            ended.wait(0.005)
        camera.kill()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


@pytest.mark.slow
def test_frames_of_a_camera_become_a_recipe_with_its_settings(tmp_path: Path) -> None:
    make_teaching_station(tmp_path, CAMERA)
    with FakeGvCamera("A1"):
        teach(CONFIG, **PART)
    numbers = [sent_as(path) for path in list_images(FRAMES)]
    assert len(numbers) == 14
    assert numbers == sorted(set(numbers))
    recipe = read_recipe(tmp_path / "recipes" / "part.yaml").recipe
    assert recipe.cameras["gige"].exposure_us == 500.0


@pytest.mark.slow
def test_a_camera_that_vanishes_costs_no_part_that_was_taken(tmp_path: Path) -> None:
    make_teaching_station(tmp_path, CAMERA)
    with FakeGvCamera("A1") as camera:
        killer = kill_after(camera, 3)
        with pytest.raises(CameraError, match="gige"):
            teach(CONFIG, **PART)
        killer.join()
    before = {path: file_sha256(path) for path in list_images(FRAMES)}
    assert 3 <= len(before) < 14
    with FakeGvCamera("A1"):
        teach(CONFIG, **PART, resume=True)
    assert {path: file_sha256(path) for path in before} == before
    assert len(list_images(FRAMES)) == 14


def test_frames_with_lost_packets_do_not_teach(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_teaching_station(tmp_path, CAMERA | {"packet_resend": "never", "packet_size_bytes": 600})
    with FakeGvCamera("A1", lost=0.03):
        teach(CONFIG, **PART)
    assert "incomplete frames were left out" in capsys.readouterr().err
    for path in list_images(FRAMES):
        expected = frame_bytes(sent_as(path), WIDTH * HEIGHT).reshape(HEIGHT, WIDTH)
        assert np.array_equal(np.asarray(Image.open(path)), expected)
