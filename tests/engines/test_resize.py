import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.resize import AreaResize, resample_matrix

SIZES = st.integers(1, 90)


@settings(max_examples=150, deadline=None)
@given(height=SIZES, width=SIZES, out_height=SIZES, out_width=SIZES, seed=st.integers(0, 9))
def test_shrinking_equals_opencv_inter_area(
    height: int, width: int, out_height: int, out_width: int, seed: int
) -> None:
    out = (min(height, out_height), min(width, out_width))
    image = np.random.default_rng(seed).uniform(0, 255, (height, width)).astype(np.float32)
    found = AreaResize((height, width), out, channels=1)(torch.from_numpy(image))[0, 0].numpy()
    expected = cv2.resize(image, out[::-1], interpolation=cv2.INTER_AREA).reshape(out)
    np.testing.assert_allclose(found, expected, atol=2e-3)


@settings(max_examples=100, deadline=None)
@given(height=SIZES, width=SIZES, out_height=SIZES, out_width=SIZES)
def test_channels_of_colour_stay_apart(height: int, width: int, out_height: int, out_width: int) -> None:
    out = (min(height, out_height), min(width, out_width))
    image = np.random.default_rng(3).uniform(0, 255, (height, width, 3)).astype(np.float32)
    found = AreaResize((height, width), out, channels=3)(torch.from_numpy(image)).numpy()
    for channel in range(3):
        alone = AreaResize((height, width), out, channels=1)(torch.from_numpy(image[..., channel].copy()))
        np.testing.assert_allclose(found[0, channel], alone[0, 0].numpy(), atol=1e-3)


@pytest.mark.parametrize(("size", "out"), [((40, 60), (64, 64)), ((100, 33), (256, 128))])
def test_enlarging_equals_opencv_inter_linear(size: tuple[int, int], out: tuple[int, int]) -> None:
    image = np.random.default_rng(0).uniform(0, 255, size).astype(np.float32)
    found = AreaResize(size, out, channels=1)(torch.from_numpy(image))[0, 0].numpy()
    expected = cv2.resize(image, out[::-1], interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(found, expected, atol=2e-3)


@settings(deadline=None)
@given(size_in=SIZES, size_out=SIZES)
def test_every_output_pixel_is_a_weighted_mean(size_in: int, size_out: int) -> None:
    matrix = resample_matrix(size_in, size_out)
    assert (matrix >= 0).all()
    torch.testing.assert_close(matrix.sum(1), torch.ones(size_out), atol=1e-5, rtol=0)
