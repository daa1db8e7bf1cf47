import numpy as np
import pytest
import torch

from calibration import closed_form
from calibration.dataset import split_parts
from calibration.fit import FitSettings, fit
from calibration.whiten import choose_share, position_model, spectrum
from engines.hlgfa import Geometry, Hlgfa
from engines.resize import resample_matrix
from support.parts import defective_part, good_part

PARTS = [good_part(seed) for seed in range(24)]
GEOMETRY = Geometry(input_px=(96, 96), hr_px=(128, 128))


def _fit(parts: list[np.ndarray], **changes: object) -> Hlgfa:
    settings = FitSettings(**({"steps": 6, "batch": 4} | changes))  # type: ignore[arg-type]
    split = split_parts(len(parts), seed=0)
    return fit(parts, split, GEOMETRY, settings, progress=lambda *_: None)


@pytest.fixture(scope="module")
def network() -> Hlgfa:
    return _fit(PARTS)


def _score(network: Hlgfa, image: np.ndarray) -> float:
    with torch.no_grad():
        return float(network(torch.from_numpy(image))[1])


def test_defects_score_above_all_good_parts(network: Hlgfa) -> None:
    good = [_score(network, good_part(seed)) for seed in range(500, 508)]
    bad = [_score(network, defective_part(seed)[0]) for seed in range(600, 608)]
    assert min(bad) > max(good)


def test_the_map_is_highest_on_the_defect(network: Hlgfa) -> None:
    image, mask = defective_part(700)
    with torch.no_grad():
        anomaly_map = network(torch.from_numpy(image))[0].numpy()
    row, column = np.unravel_index(anomaly_map.argmax(), anomaly_map.shape)
    assert mask[max(row * 3 - 12, 0) : row * 3 + 12, max(column * 3 - 12, 0) : column * 3 + 12].any()


def test_the_same_seed_gives_the_same_bits(network: Hlgfa) -> None:
    """With test_export, where one network gives one ONNX: same data and seed, same hash."""
    again = _fit(PARTS).state_dict()
    for name, value in network.state_dict().items():
        assert torch.equal(value, again[name]), name


def test_another_seed_gives_another_model(network: Hlgfa) -> None:
    other = _fit(PARTS, seed=1)
    assert not torch.equal(other.level(8).ridge, network.level(8).ridge)


def test_held_out_parts_are_never_read() -> None:
    held = set(split_parts(len(PARTS), seed=0).hold_out)

    class Watched(list[np.ndarray]):
        def __getitem__(self, index):  # type: ignore[no-untyped-def]
            assert index not in held
            return super().__getitem__(index)

    _fit(Watched(PARTS), steps=1)


def test_progress_ends_at_its_total() -> None:
    told: dict[str, tuple[int, int]] = {}
    fit(
        PARTS,
        split_parts(len(PARTS), seed=0),
        GEOMETRY,
        FitSettings(steps=2, batch=2),
        progress=lambda step, done, total: told.update({step: (done, total)}),
    )
    assert set(told) == {"features", "guidance"}
    assert all(done == total for done, total in told.values())


def test_ridge_finds_a_linear_alignment() -> None:
    """HR features that are a fixed 3x3 filter of LR features are aligned to almost nothing."""
    level = Hlgfa(GEOMETRY, FitSettings().guidance).level(8)
    generator = torch.Generator().manual_seed(0)
    low = torch.randn(12, 64, 16, 16, generator=generator)
    truth = torch.randn(level.ridge.shape, generator=generator) * 0.1
    level.ridge.copy_(truth)
    high = level.linear(low)
    level.ridge.zero_()
    closed_form.fit_ridge(level, low, high)
    assert (high - level.linear(low)).square().mean() < 0.01 * high.square().mean()


def test_inverse_root_whitens() -> None:
    x = torch.randn(6, 6, dtype=torch.float64)
    matrix = x @ x.T + torch.eye(6, dtype=torch.float64)
    root = closed_form.inverse_root(matrix)
    torch.testing.assert_close(root @ matrix @ root, torch.eye(6, dtype=torch.float64))


def test_a_covariance_per_position_is_chosen_only_where_positions_differ() -> None:
    generator = torch.Generator().manual_seed(0)
    alike = torch.randn(60, 24, 6, 6, generator=generator)
    assert choose_share(alike) == 1.0
    scale = torch.linspace(0.2, 3, 36).reshape(1, 1, 6, 6)
    assert choose_share(alike * scale) < 1.0


def test_the_position_model_keeps_the_total_variance() -> None:
    z = torch.randn(50, 24, 2, 3)
    model = position_model(*spectrum(z), 0.5, rank=4)
    total = 0.5 * z.square().sum(dim=1).mean(dim=0).reshape(-1) + 0.5 * 24
    torch.testing.assert_close(model.variances.sum(dim=1) + model.noise * 20, total, rtol=1e-4, atol=1e-4)


def test_resampling_keeps_the_mean_of_an_image() -> None:
    torch.testing.assert_close(resample_matrix(96, 64).mean(dim=0).sum(), torch.tensor(1.0))
