from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from pipeline.camera_config import FolderCameraConfig, TriggerConfig
from pipeline.cameras.camera import CameraError, EndOfFramesError
from pipeline.cameras.folder import FolderCamera
from pipeline.frame import Frame

WIDTH, HEIGHT = 40, 30


def _grey(seed: int, size: tuple[int, int] = (HEIGHT, WIDTH)) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(seed).integers(0, 256, size, np.uint8)


def _save(path: Path, pixels: np.ndarray[Any, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def _open(directory: Path, **changes: Any) -> FolderCamera:
    values = {
        "name": "fold",
        "width_px": WIDTH,
        "height_px": HEIGHT,
        "pixel_format": "Mono8",
        "trigger": TriggerConfig(source="software"),
        "directory": str(directory),
    }
    return FolderCamera(FolderCameraConfig(**{**values, **changes}))


def _read(camera: FolderCamera) -> Frame:
    camera.trigger()
    frame = camera.read(5.0)
    assert frame is not None
    return frame


def _sources(camera: FolderCamera) -> Iterator[str | None]:
    """The sources of all frames up to the end."""
    with suppress(EndOfFramesError):
        while (frame := camera.read(5.0)) is not None:
            yield frame.header.source


def test_files_come_in_path_order_pixel_for_pixel(tmp_path: Path) -> None:
    names = ["b.PNG", "a/2.tiff", "a/1.bmp", "c/x/0.TIF"]
    for seed, name in enumerate(names):
        _save(tmp_path / name, _grey(seed))
    (tmp_path / "notes.txt").write_text("not an image")
    with _open(tmp_path) as camera:
        frames = [_read(camera) for _ in names]
        with pytest.raises(EndOfFramesError, match="fold has served all 4 images"):
            camera.read(0)
    assert [frame.header.source for frame in frames] == ["a/1.bmp", "a/2.tiff", "b.PNG", "c/x/0.TIF"]
    for frame, seed in zip(frames, (2, 1, 0, 3), strict=True):
        assert np.array_equal(frame.pixels, _grey(seed))
        assert frame.header.complete


def test_loop_starts_again(tmp_path: Path) -> None:
    for number in range(2):
        _save(tmp_path / f"{number}.png", _grey(number))
    with _open(tmp_path, loop=True) as camera:
        sources = [_read(camera).header.source for _ in range(5)]
    assert sources == ["0.png", "1.png", "0.png", "1.png", "0.png"]


@pytest.mark.parametrize("source", ["line", "freerun"])
def test_the_belt_runs_to_the_last_image(tmp_path: Path, source: Any) -> None:
    for number in range(4):
        _save(tmp_path / f"{number}.png", _grey(number))
    with _open(tmp_path, trigger=TriggerConfig(source=source), rate_hz=50.0) as camera:
        sources = list(_sources(camera))
    assert sources[-1] == "3.png"
    if source == "line":
        assert sources == [f"{number}.png" for number in range(4)]


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "tiff"])
@pytest.mark.parametrize("kept", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("pixel_format", ["Mono8", "RGB8"])
def test_a_file_cut_off_is_an_incomplete_frame(
    tmp_path: Path, suffix: str, kept: float, pixel_format: Any, caplog: pytest.LogCaptureFixture
) -> None:
    path = _save(tmp_path / f"cut.{suffix}", _grey(0))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    with caplog.at_level(logging.WARNING), _open(tmp_path, pixel_format=pixel_format) as camera:
        frame = _read(camera)
    assert not frame.header.complete
    assert frame.header.source == f"cut.{suffix}"
    assert frame.header.shape == frame.pixels.shape
    assert (frame.header.width_px, frame.header.height_px) == (WIDTH, HEIGHT)
    assert frame.header.pixel_format == pixel_format
    assert not frame.pixels.any()
    assert "cut" in caplog.text


def test_a_file_that_is_gone_is_an_incomplete_frame(tmp_path: Path) -> None:
    for number in range(3):
        _save(tmp_path / f"{number}.png", _grey(number))
    with _open(tmp_path) as camera:
        (tmp_path / "2.png").unlink()
        assert [_read(camera).header.complete for _ in range(3)] == [True, True, False]


def test_another_size_is_delivered_as_found(tmp_path: Path) -> None:
    _save(tmp_path / "wide.png", _grey(1, (HEIGHT, WIDTH + 4)))
    with _open(tmp_path) as camera:
        frame = _read(camera)
        assert (camera.info.width_px, camera.info.height_px) == (WIDTH, HEIGHT)
    assert (frame.header.width_px, frame.header.height_px) == (WIDTH + 4, HEIGHT)
    assert frame.header.complete
    assert np.array_equal(frame.pixels, _grey(1, (HEIGHT, WIDTH + 4)))


@pytest.mark.parametrize(("stored", "configured"), [("RGB8", "Mono8"), ("Mono8", "RGB8")])
def test_another_format_is_delivered_as_found(tmp_path: Path, stored: Any, configured: Any) -> None:
    pixels = _grey(2) if stored == "Mono8" else np.repeat(_grey(2)[..., None], 3, axis=2)
    _save(tmp_path / "x.png", pixels)
    with _open(tmp_path, pixel_format=configured) as camera:
        frame = _read(camera)
    assert frame.header.pixel_format == stored
    assert frame.header.complete
    assert np.array_equal(frame.pixels, pixels)


def _sixteen_bit(path: Path, channels: int) -> None:
    shape = (HEIGHT, WIDTH) if channels == 1 else (HEIGHT, WIDTH, 3)
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 65_536, shape, np.uint16))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_16_bit_is_refused(tmp_path: Path, channels: int, suffix: str) -> None:
    _sixteen_bit(tmp_path / f"b.{suffix}", channels)
    with pytest.raises(CameraError):
        _open(tmp_path, pixel_format="Mono8" if channels == 1 else "RGB8")
    _save(tmp_path / "a.png", _grey(0))
    with _open(tmp_path) as camera:
        assert [_read(camera).header.complete for _ in range(2)] == [True, False]


@pytest.mark.parametrize("mode", ["P", "RGBA", "LA", "1", "CMYK", "I;16"])
def test_other_kinds_are_refused_at_the_start(tmp_path: Path, mode: str) -> None:
    Image.new(mode, (WIDTH, HEIGHT)).save(tmp_path / "x.tif")
    with pytest.raises(CameraError, match=r"its first image: .*found pixels of kind .*expected 8-bit"):
        _open(tmp_path)


def test_a_missing_directory_is_explained(tmp_path: Path) -> None:
    with pytest.raises(CameraError, match=r"fold: found no directory .*nowhere.*Set `directory`"):
        _open(tmp_path / "nowhere")


def test_an_empty_directory_is_explained(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").write_text("nothing here")
    with pytest.raises(CameraError, match=r"fold: found no image in .*expected files ending in \.png"):
        _open(tmp_path)
