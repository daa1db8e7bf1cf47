"""Each format against its definition, spelled out bit by bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.cameras.pixels import CONVERTIBLE, PixelError, choose_format, to_line_format

WIDTH, HEIGHT = 8, 6
SEEDS = st.integers(0, 2**32)


def _random(seed: int, bits: int, count: int = WIDTH * HEIGHT) -> NDArray[np.uint16]:
    return np.random.default_rng(seed).integers(0, 2**bits, count, np.uint16)


def _bit_stream(values: NDArray[np.uint16], bits: int) -> NDArray[np.uint8]:
    """PFNC `p`: every pixel's bits one after the other, the least significant first."""
    stream = [int(value) >> bit & 1 for value in values for bit in range(bits)]
    return np.packbits(np.array(stream, np.uint8), bitorder="little")


def _gige_packed(values: NDArray[np.uint16], bits: int) -> NDArray[np.uint8]:
    """GigE Vision `Packed`: upper 8 bits, both pixels' lower bits in one byte, upper 8 bits."""
    low = bits - 8
    data = []
    for first, second in zip(values[::2], values[1::2], strict=True):
        lower = int(first) % 2**low | (int(second) % 2**low) << 4
        data += [int(first) >> low, lower, int(second) >> low]
    return np.array(data, np.uint8)


def _mono(
    data: NDArray[np.uint8], name: str, width_px: int = WIDTH, height_px: int = HEIGHT
) -> NDArray[np.uint8]:
    return to_line_format(data, name, width_px=width_px, height_px=height_px)


@given(SEEDS, st.sampled_from([10, 12, 16]))
def test_words_lose_their_lower_bits(seed: int, bits: int) -> None:
    values = _random(seed, bits)
    image = _mono(values.astype("<u2").view(np.uint8), f"Mono{bits}")
    assert np.array_equal(image.reshape(-1), values >> (bits - 8))


@given(SEEDS, st.sampled_from([10, 12]), st.integers(1, 9), st.integers(1, 9))
def test_a_bit_stream_is_unpacked(seed: int, bits: int, width_px: int, height_px: int) -> None:
    values = _random(seed, bits, width_px * height_px)
    image = _mono(_bit_stream(values, bits), f"Mono{bits}p", width_px, height_px)
    assert image.shape == (height_px, width_px)
    assert np.array_equal(image.reshape(-1), values >> (bits - 8))


@given(SEEDS, st.sampled_from([10, 12]))
def test_pairs_of_gige_vision_are_unpacked(seed: int, bits: int) -> None:
    values = _random(seed, bits)
    image = _mono(_gige_packed(values, bits), f"Mono{bits}Packed")
    assert np.array_equal(image.reshape(-1), values >> (bits - 8))


@given(SEEDS, st.integers(0, 9))
def test_8_bits_are_served_as_they_are(seed: int, behind: int) -> None:
    data = _random(seed, 8, WIDTH * HEIGHT + behind).astype(np.uint8)
    image = _mono(data, "Mono8")
    assert np.array_equal(image.reshape(-1), data[: WIDTH * HEIGHT])
    assert np.shares_memory(image, data)


@pytest.mark.parametrize(
    ("name", "order"),
    [
        ("RGB8", "rgb"),
        ("RGB8Packed", "rgb"),
        ("BGR8", "bgr"),
        ("BGR8Packed", "bgr"),
        ("RGBa8", "rgba"),
        ("RGBA8Packed", "rgba"),
        ("BGRa8", "bgra"),
        ("BGRA8Packed", "bgra"),
    ],
)
def test_red_stays_red(name: str, order: str) -> None:
    levels = {"r": 200, "g": 100, "b": 50, "a": 7}
    data = np.tile(np.array([levels[channel] for channel in order], np.uint8), WIDTH * HEIGHT)
    image = to_line_format(data, name, width_px=WIDTH, height_px=HEIGHT)
    assert image.shape == (HEIGHT, WIDTH, 3)
    assert (image == (200, 100, 50)).all()


@pytest.mark.parametrize("pattern", ["RG", "GR", "GB", "BG"])
@pytest.mark.parametrize("depth", ["8", "12", "12p", "12Packed", "16"])
def test_a_flat_colour_comes_back_from_its_bayer_pattern(pattern: str, depth: str) -> None:
    """The pattern's name is its first line; the second has the other green and the colour that is left."""
    colour = {"R": 200, "G": 100, "B": 50}
    other = {"RG": "GB", "GR": "BG", "GB": "RG", "BG": "GR"}[pattern]
    tile = np.array([[colour[c] for c in pattern], [colour[c] for c in other]], np.uint16)
    bits = int(depth.rstrip("pPacked"))
    values = (np.tile(tile, (HEIGHT // 2, WIDTH // 2)) << (bits - 8)).reshape(-1)
    data = {
        "8": lambda: values.astype(np.uint8),
        "12": lambda: values.astype("<u2").view(np.uint8),
        "12p": lambda: _bit_stream(values, 12),
        "12Packed": lambda: _gige_packed(values, 12),
        "16": lambda: values.astype("<u2").view(np.uint8),
    }[depth]()
    image = to_line_format(data, f"Bayer{pattern}{depth}", width_px=WIDTH, height_px=HEIGHT)
    assert (image == (200, 100, 50)).all()


@pytest.mark.parametrize(
    "name", ["YUV422_8", "YCbCr422_8", "YUV422_YUYV_Packed", "YUV422_8_UYVY", "YUV422Packed"]
)
@given(seed=SEEDS)
def test_yuv_has_the_colours_of_its_formula(name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    luma = rng.integers(0, 256, (HEIGHT, WIDTH)).astype(np.uint8)
    u, v = rng.integers(0, 256, (2, HEIGHT, WIDTH // 2)).astype(np.uint8)
    data = np.empty((HEIGHT, WIDTH * 2), np.uint8)
    first = 1 if "UYVY" in name or name == "YUV422Packed" else 0
    data[:, first::2], data[:, 1 - first :: 4], data[:, 3 - first :: 4] = luma, u, v
    image = to_line_format(data.reshape(-1), name, width_px=WIDTH, height_px=HEIGHT).astype(int)
    y, du, dv = (plane.astype(float) for plane in (luma, np.repeat(u, 2, 1), np.repeat(v, 2, 1)))
    du, dv = du - 128, dv - 128
    expected = np.stack([y + 1.403 * dv, y - 0.714 * dv - 0.344 * du, y + 1.773 * du], -1)
    assert np.abs(image - expected.clip(0, 255)).max() <= 1


@pytest.mark.parametrize("name", sorted({*CONVERTIBLE["Mono8"], *CONVERTIBLE["RGB8"]}))
def test_every_format_gives_its_shape_and_refuses_too_few_bytes(name: str) -> None:
    data = np.zeros(4 * WIDTH * HEIGHT, np.uint8)
    image = to_line_format(data, name, width_px=WIDTH, height_px=HEIGHT)
    assert image.dtype == np.uint8
    assert image.shape == ((HEIGHT, WIDTH) if name in CONVERTIBLE["Mono8"] else (HEIGHT, WIDTH, 3))
    with pytest.raises(PixelError, match="found an image of 40 bytes, expected"):
        to_line_format(data[:40], name, width_px=WIDTH, height_px=HEIGHT)


def test_what_cannot_be_converted_is_refused() -> None:
    with pytest.raises(PixelError, match="found the pixel format Coord3D_ABC32f"):
        to_line_format(np.zeros(99, np.uint8), "Coord3D_ABC32f", width_px=1, height_px=1)
    with pytest.raises(PixelError, match="found a width of 3 px, expected an even one"):
        to_line_format(np.zeros(99, np.uint8), "YUV422_8", width_px=3, height_px=1)


def test_the_format_without_loss_is_chosen() -> None:
    assert choose_format("Mono8", ("Mono12", "Mono8", "RGB8")) == "Mono8"
    assert choose_format("Mono8", ("Mono12p", "Mono12")) == "Mono12"
    assert choose_format("RGB8", ("Mono8", "BayerBG12", "BayerBG8")) == "BayerBG8"
    assert choose_format("RGB8", ("Mono8", "Mono12")) is None
