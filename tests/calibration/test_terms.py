import pytest
import torch

from calibration.copies import Copies
from calibration.terms import LEAST_VARIANCE, TermSettings, fit_view, summed, weigh
from engines.geometry import Geometry
from engines.hlgfa import Hlgfa, NetworkSettings
from engines.level import ViewLevel


def _parts(count: int, seed: int = 0) -> torch.Tensor:
    """Features (count, 6, 4, 4); those of the first row jump between two looks from part to part."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 6, 4, 4, generator=generator)
    # Rare and strong, so that no covariance holds it: heavy tails are what gains are for.
    x[:, :, 0] *= 1 + 8 * (torch.rand(count, 1, 4, generator=generator) > 0.9)
    return x


@pytest.fixture
def clean() -> torch.Tensor:
    return _parts(80)


def test_distances_of_good_parts_have_mean_zero_and_deviation_one(clean: torch.Tensor) -> None:
    fitted = fit_view(ViewLevel(6), 8, Copies(clean, None), TermSettings())
    assert fitted.maps.mean() == pytest.approx(0, abs=1e-3)
    assert fitted.maps.std() == pytest.approx(1, abs=1e-2)
    assert fitted.term.gain.numel() == 1


def test_unsteady_positions_get_a_smaller_gain_where_features_are_coarse(clean: torch.Tensor) -> None:
    fine, coarse, plain = (
        fit_view(ViewLevel(6), stride, Copies(clean, None), TermSettings(even=even))
        for stride, even in ((8, True), (16, True), (16, False))
    )
    assert fine.term.gain.shape == plain.term.gain.shape == (1,)
    gain = coarse.term.gain[0, 0]
    assert gain.shape == (4, 4)
    assert gain[0].max() < gain[1:].min()
    assert coarse.maps[:, :, 0].std() < plain.maps[:, :, 0].std()
    assert gain.max() <= plain.term.gain.item() / LEAST_VARIANCE**0.5 * 1.2


def test_nuisances_count_for_the_scale_but_are_not_told_of(clean: torch.Tensor) -> None:
    plain = fit_view(ViewLevel(6), 8, Copies(clean, None), TermSettings())
    fitted = fit_view(ViewLevel(6), 8, Copies(clean, 3 * clean), TermSettings(view_nuisance=0.0))
    assert fitted.maps.shape == (80, 1, 4, 4)
    assert fitted.term.gain < plain.term.gain


def test_terms_weigh_the_same(clean: torch.Tensor) -> None:
    network = Hlgfa(
        Geometry(input_px=(64, 64), hr_px=(64, 64)),
        NetworkSettings(taps=(16,), appearance_taps=(16,), layout_taps=(), background=0.0),
    )
    terms = [fit_view(ViewLevel(6), 16, Copies(clean, None), TermSettings()) for _ in range(2)]
    assert torch.equal(summed(network, terms), summed(network, terms[:1]))
    before = terms[0].term.gain.clone()
    weigh(terms)
    torch.testing.assert_close(terms[0].term.gain, before / 2)
