import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibration.augmentation import NuisanceSettings, inject, inject_raw

OFF = NuisanceSettings(points_share=0, stripes=0, hairs=0, stains=0)
IMAGE = np.full((3, 64, 80), 128.0, np.float32)


def _changed(settings: NuisanceSettings, seed: int = 3) -> np.ndarray:
    return inject(IMAGE, settings, np.random.default_rng(seed)) - IMAGE


def test_nothing_injected_changes_nothing() -> None:
    assert not _changed(OFF).any()


def test_the_same_seed_injects_the_same_and_leaves_the_image_alone() -> None:
    settings = NuisanceSettings()
    np.testing.assert_array_equal(_changed(settings, 1), _changed(settings, 1))
    assert (IMAGE == 128).all()


@pytest.mark.parametrize("shape", [(64, 80), (128, 160), (64, 80, 3)])
def test_a_raw_image_gets_what_its_hr_view_would(shape: tuple[int, ...]) -> None:
    raw = inject_raw(np.full(shape, 128, np.uint8), (64, 80), NuisanceSettings(), np.random.default_rng(3))
    change = raw.astype(np.float32) - 128
    change = change if raw.ndim == 2 else change[..., 0]
    expected = _changed(NuisanceSettings())[0]
    step = shape[0] // 64
    pooled = change.reshape(64, step, 80, step).mean(axis=(1, 3))
    # Enlarged twice and pooled again, a point loses what it gave to its neighbours; stripes and hairs stay.
    np.testing.assert_allclose(pooled.mean(axis=0), expected.mean(axis=0), atol=1.0)
    if step == 1:
        np.testing.assert_allclose(change, np.rint(expected), atol=0.51)


@pytest.mark.parametrize(
    ("settings", "most"),
    [
        (msgspec.structs.replace(OFF, points_share=0.01), 0.03),
        (msgspec.structs.replace(OFF, stripes=1), 3 / 64),
        (msgspec.structs.replace(OFF, hairs=1), 0.05),
        (msgspec.structs.replace(OFF, stains=1), 0.03),
    ],
    ids=["points", "stripes", "hairs", "stains"],
)
def test_each_nuisance_is_sparse_and_equal_in_all_channels(settings: NuisanceSettings, most: float) -> None:
    changes = [_changed(settings, seed) for seed in range(20)]
    assert any(change.any() for change in changes)
    for change in changes:
        assert (np.abs(change[0]) > 0.01).mean() <= most
        np.testing.assert_array_equal(change[0], change[2])


def test_values_stay_in_range() -> None:
    strong = NuisanceSettings(points_share=0.5, point_levels=255)
    for level in (0.0, 255.0):
        found = inject(np.full((1, 32, 32), level, np.float32), strong, np.random.default_rng(0))
        assert 0 <= found.min() <= found.max() <= 255


@given(amount=st.floats(0.01, 1.0), seed=st.integers(0, 99))
def test_an_amount_scales_every_change_and_moves_none(amount: float, seed: int) -> None:
    """The places are those of the full amount, so that amounts can be compared part by part."""
    full, less = _changed(NuisanceSettings(), seed), _changed(NuisanceSettings().times(amount), seed)
    np.testing.assert_allclose(less, amount * full, atol=1e-3)
