from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.camera_config import SimulatedCameraConfig, TriggerConfig
from pipeline.cameras.camera import CameraError
from pipeline.cameras.part import DEFECTS, RenderedPart, render_part
from pipeline.cameras.simulated import SimulatedCamera

if TYPE_CHECKING:
    from pipeline.frame import PixelFormat

CONTRAST_GREY = 12.0  # six times the noise


def _render(
    seed: int,
    index: int,
    defect_rate: float,
    *,
    size: tuple[int, int] = (256, 256),
    pixel_format: PixelFormat = "Mono8",
) -> RenderedPart:
    width, height = size
    return render_part(
        seed, index, width_px=width, height_px=height, pixel_format=pixel_format, defect_rate=defect_rate
    )


def _config(source: str = "software", **changes: object) -> SimulatedCameraConfig:
    values = {"name": "sim", "width_px": 128, "height_px": 96, "pixel_format": "Mono8", "seed": 3}
    trigger = TriggerConfig(source=source)  # type: ignore[arg-type]
    return SimulatedCameraConfig(**{**values, "trigger": trigger, **changes})  # type: ignore[arg-type]


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**63), index=st.integers(0, 10**9), rate=st.sampled_from([0.0, 0.5, 1.0]))
def test_a_part_depends_on_seed_and_index_only(seed: int, index: int, rate: float) -> None:
    first = _render(seed, index, rate, size=(96, 64))
    _render(seed + 1, index, rate, size=(96, 64))
    again = _render(seed, index, rate, size=(96, 64))
    assert first.truth == again.truth
    assert np.array_equal(first.pixels, again.pixels)
    assert np.array_equal(first.mask, again.mask)
    assert first.mask.any() == (first.truth != "good")


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 1.0])
def test_the_mix_keeps_the_defect_rate(rate: float) -> None:
    truths = [_render(1, index, rate, size=(64, 64)).truth for index in range(400)]
    share = sum(truth != "good" for truth in truths) / len(truths)
    assert share == pytest.approx(rate, abs=4 * np.sqrt(rate * (1 - rate) / len(truths)))
    if rate == 1.0:
        assert set(truths) == set(DEFECTS)
        assert min(truths.count(defect) for defect in DEFECTS) > 40


def test_every_defect_is_visible_where_the_mask_says() -> None:
    for index in range(120):
        bad, good = _render(2, index, 1.0), _render(2, index, 0.0)
        change = np.abs(bad.pixels.astype(np.int16) - good.pixels)
        where = f"part {index}: {bad.truth}"
        assert bad.mask.sum() >= 12, where
        assert change[bad.mask].mean() >= CONTRAST_GREY, where
        assert change[~bad.mask].mean() < 0.5, where
        assert good.truth == "good"


def test_good_parts_differ_within_bounds() -> None:
    parts = np.stack([_render(4, index, 0.0).pixels for index in range(0, 400, 40)]).astype(np.float32)
    for first, second in itertools.pairwise(parts):
        assert 1 < np.abs(first - second).mean() < 20
    assert parts.mean(axis=(1, 2)).std() < 5


@pytest.mark.parametrize("size", [(64, 64), (64, 200), (321, 123), (640, 480)])
@pytest.mark.parametrize("pixel_format", ["Mono8", "RGB8"])
def test_any_size_can_be_rendered(size: tuple[int, int], pixel_format: PixelFormat) -> None:
    part = _render(0, 0, 1.0, size=size, pixel_format=pixel_format)
    width, height = size
    assert part.pixels.shape == ((height, width) if pixel_format == "Mono8" else (height, width, 3))
    assert part.pixels.dtype == np.uint8
    assert part.mask.shape == (height, width)
    assert part.pixels.max() > 120
    assert np.median(part.pixels) < 230


def test_colour_and_grey_show_the_same_part() -> None:
    grey, colour = _render(6, 1, 0.0), _render(6, 1, 0.0, pixel_format="RGB8")
    change = grey.pixels.astype(np.float32) - colour.pixels.mean(axis=2)
    assert np.abs(change).mean() < 6


def test_the_camera_shows_part_after_part() -> None:
    config = _config("line", rate_hz=200.0, defect_rate=0.5)
    with SimulatedCamera(config) as camera:
        for index in range(10):
            frame = camera.read(5.0)
            assert frame is not None
            part = _render(3, index, 0.5, size=(128, 96))
            assert frame.header.frame_id == index
            assert frame.header.truth == part.truth
            assert np.array_equal(frame.pixels, part.pixels)


def test_an_image_too_small_is_refused() -> None:
    with pytest.raises(CameraError, match=r"sim: found 128 x 40 px, expected at least 64 x 64"):
        SimulatedCamera(_config(height_px=40))
