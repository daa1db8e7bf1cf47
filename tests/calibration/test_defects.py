import numpy as np
import pytest

from calibration.defects import with_defect
from support.parts import good_part


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("seed", range(12))
def test_a_defect_changes_a_part_of_the_image_only(seed: int, channels: int) -> None:
    image = good_part(seed, channels=channels)
    before = image.copy()
    changed = with_defect(image, seed)
    np.testing.assert_array_equal(image, before)
    assert (changed.dtype, changed.shape) == (np.uint8, image.shape)
    share = (changed != image).reshape(image.shape[0], image.shape[1], -1).any(axis=2).mean()
    assert 0.0005 < share < 0.2
    assert np.abs(changed.astype(int) - image).max() > 10


def test_the_same_seed_gives_the_same_defect_and_others_others() -> None:
    image = good_part(0)
    np.testing.assert_array_equal(with_defect(image, 4), with_defect(image, 4))
    assert len({with_defect(image, seed).tobytes() for seed in range(9)}) == 9


@pytest.mark.parametrize("shape", [(16, 16), (16, 200), (300, 20, 3)])
def test_small_and_long_images_are_taken(shape: tuple[int, ...]) -> None:
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    assert all(with_defect(image, seed).shape == shape for seed in range(6))
