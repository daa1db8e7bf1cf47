import time

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from calibration.frame_measures import measure, sample_of
from pipeline.cameras.part import render_part


@pytest.fixture(scope="module")
def part() -> np.ndarray:
    return render_part(7, 3, width_px=512, height_px=512, pixel_format="Mono8", defect_rate=0).pixels


def test_light_changes_the_brightness_alone(part: np.ndarray) -> None:
    dark = np.rint(part * 0.8).astype(np.uint8)
    before, after = measure(part), measure(dark)
    assert after.brightness / before.brightness == pytest.approx(0.8, abs=0.005)
    assert after.sharpness == pytest.approx(before.sharpness, rel=0.01)
    assert (after.x_px, after.y_px) == pytest.approx((before.x_px, before.y_px), abs=0.5)


def test_blur_changes_the_sharpness(part: np.ndarray) -> None:
    assert measure(cv2.GaussianBlur(part, (0, 0), 1.5)).sharpness < 0.9 * measure(part).sharpness


@pytest.mark.parametrize(("right", "down"), [(12, 0), (0, 12), (-7, 9)])
def test_a_part_before_an_even_ground_moves_as_far_as_it_moves(right: int, down: int) -> None:
    def frame(x: int, y: int) -> np.ndarray:
        pixels = np.full((480, 640), 30, np.uint8)
        pixels[100 + y : 340 + y, 150 + x : 450 + x] = 200
        return pixels

    before, after = measure(frame(0, 0)), measure(frame(right, down))
    assert after.x_px - before.x_px == pytest.approx(right, abs=0.01)
    assert after.y_px - before.y_px == pytest.approx(down, abs=4)  # every 7th row is looked at


@given(hnp.arrays(np.uint8, st.sampled_from([(3, 3), (64, 70), (200, 5), (3, 200, 3), (90, 80, 3)])))
def test_every_frame_has_finite_measures_within_the_frame(pixels: np.ndarray) -> None:
    found = measure(pixels)
    assert 0 <= found.brightness <= 255
    assert 0 <= found.sharpness <= 255
    assert -0.001 <= found.x_px <= pixels.shape[1]
    assert -0.001 <= found.y_px <= pixels.shape[0]


def test_what_lies_outside_the_region_changes_nothing(part: np.ndarray) -> None:
    inspected = np.zeros(part.shape, bool)
    inspected[100:400, 120:300] = inspected[300:420, 250:440] = True
    sample = sample_of(inspected)
    belt = np.random.default_rng(1).integers(0, 255, part.shape, dtype=np.uint8)
    assert measure(np.where(inspected, part, belt), sample) == measure(part, sample)
    assert measure(np.where(inspected, belt, part), sample) != measure(part, sample)


def test_a_region_is_measured_like_an_image_of_its_own(part: np.ndarray) -> None:
    inspected = np.zeros(part.shape, bool)
    inspected[64:320, 100:421] = True
    within, alone = measure(part, sample_of(inspected)), measure(part[64:320, 100:421])
    assert within.brightness == pytest.approx(alone.brightness, rel=1e-5)
    assert within.sharpness == pytest.approx(alone.sharpness, rel=1e-5)
    assert (within.x_px, within.y_px) == pytest.approx((alone.x_px + 100, alone.y_px + 64), abs=0.01)


def test_the_whole_image_as_a_region_is_the_image(part: np.ndarray) -> None:
    found, whole = measure(part, sample_of(np.ones(part.shape, bool))), measure(part)
    assert found.brightness == pytest.approx(whole.brightness, rel=1e-5)
    assert (found.x_px, found.y_px, found.sharpness) == (whole.x_px, whole.y_px, whole.sharpness)


@given(
    hnp.arrays(np.uint8, st.sampled_from([(3, 3), (64, 70), (200, 5), (3, 200, 3), (90, 80, 3)])), st.data()
)
def test_every_region_has_finite_measures_within_the_frame(pixels: np.ndarray, data: st.DataObject) -> None:
    inspected = data.draw(hnp.arrays(np.bool_, pixels.shape[:2]).filter(lambda mask: mask.any()))
    found = measure(pixels, sample_of(inspected))
    assert 0 <= found.brightness <= 255
    assert 0 <= found.sharpness <= 255
    assert -0.001 <= found.x_px <= pixels.shape[1]
    assert -0.001 <= found.y_px <= pixels.shape[0]


@pytest.mark.parametrize("region", [None, np.ones((1200, 1920), bool)])
def test_it_keeps_its_budget(region: np.ndarray | None) -> None:
    """Of 1 ms for 1920x1200; the least of many runs, since others work on this machine, too."""
    pixels = np.random.default_rng(0).integers(0, 255, (1200, 1920), dtype=np.uint8)
    sample = None if region is None else sample_of(region)
    times = []
    for _ in range(50):
        begin = time.perf_counter()
        measure(pixels, sample)
        times.append(time.perf_counter() - begin)
    assert min(times) < 1e-3
