from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from calibration.images import (
    DamagedImageError,
    ImageFileError,
    decode_image,
    image_format,
    list_images,
)

GREY = np.random.default_rng(0).integers(0, 256, (48, 64), np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (48, 64, 3), np.uint8)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "PNG"])
@pytest.mark.parametrize("pixels", [GREY, COLOUR], ids=["grey", "colour"])
def test_what_is_stored_is_what_is_read(tmp_path: Path, suffix: str, pixels: np.ndarray) -> None:
    path = tmp_path / f"x.{suffix}"
    Image.fromarray(pixels).save(path)
    np.testing.assert_array_equal(decode_image(path), pixels)
    assert image_format(path) == (48, 64, 1 if pixels.ndim == 2 else 3)


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "tif"])
@pytest.mark.parametrize("kept", [0.0, 0.3, 0.6, 0.95])
def test_a_file_cut_off_is_damaged(tmp_path: Path, suffix: str, kept: float) -> None:
    path = tmp_path / f"x.{suffix}"
    Image.fromarray(GREY).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(DamagedImageError, match=r"x\..*cannot be decoded"):
        decode_image(path)


def test_no_damaged_byte_goes_unnoticed_in_a_png(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    Image.fromarray(GREY).save(path)
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 0xFF
    path.write_bytes(whole)
    with pytest.raises(DamagedImageError):
        decode_image(path)


@pytest.mark.parametrize("mode", ["P", "RGBA", "LA", "1", "CMYK", "I;16"])
def test_other_kinds_are_not_converted(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "x.tif"
    Image.new(mode, (20, 12)).save(path)
    for read in (decode_image, image_format):
        with pytest.raises(ImageFileError, match=r"found pixels of kind .*expected 8-bit") as caught:
            read(path)
        assert not isinstance(caught.value, DamagedImageError)


def test_16_bit_colour_is_not_read_as_8_bit(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    cv2.imwrite(str(path), np.full((12, 20, 3), 40_000, np.uint16))
    with pytest.raises(ImageFileError, match=";16"):
        decode_image(path)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=200))
def test_any_bytes_are_an_image_or_an_image_file_error(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(data)
    with pytest.raises(ImageFileError):
        decode_image(path)


def test_files_are_found_in_order(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    for name in ("b/1.jpg", "a.PNG", "c.txt", "b/0.tiff"):
        (tmp_path / name).write_bytes(b"")
    names = [path.relative_to(tmp_path).as_posix() for path in list_images(tmp_path)]
    assert names == ["a.PNG", "b/0.tiff", "b/1.jpg"]
