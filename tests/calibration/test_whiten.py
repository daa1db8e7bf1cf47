import numpy as np
import pytest
import torch

from calibration.closed_form import COVARIANCE_RIDGE
from calibration.whiten import _block, fit_whitening
from engines.whitening import Whitening, from_blocks, in_blocks


def _randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_a_covariance_per_position_is_chosen_only_where_positions_differ() -> None:
    alike = _randn(60, 24, 6, 6)
    assert fit_whitening(Whitening(24), alike).share == 1.0
    scale = torch.linspace(0.2, 3, 36).reshape(1, 1, 6, 6)
    whitening = Whitening(24)
    assert fit_whitening(whitening, alike * scale).share < 1.0
    assert whitening.per_position


def test_the_better_a_position_is_known_the_less_it_borrows() -> None:
    mixing = _randn(36, 12, 12, seed=1)
    few, many = (
        torch.einsum("pcd,ndp->ncp", mixing, _randn(n, 12, 36)).reshape(n, 12, 6, 6) for n in (16, 400)
    )
    assert fit_whitening(Whitening(12), many).share < fit_whitening(Whitening(12), few).share < 1.0


@pytest.mark.parametrize(("block", "copies"), [(1, 1), (1, 2), (2, 1), (2, 3)])
def test_leaving_a_part_out_in_closed_form_equals_doing_it(
    block: int, copies: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By definition: mean and own covariance from the other parts, pooled covariance and share as fitted."""
    channels, side, parts = 4, 4, 12
    monkeypatch.setattr("calibration.whiten.ROOT_NUMBERS", side * side // block**2 * channels**2)
    base = _randn(parts, channels, side, side) * torch.linspace(0.3, 3, side * side).reshape(1, 1, side, side)
    x = torch.cat([base + 0.3 * _randn(parts, channels, side, side, seed=9 + c) for c in range(copies)])
    whitening = Whitening(channels)
    choice = fit_whitening(whitening, x, copies=copies)
    assert choice.share < 1
    assert whitening.block == block
    mean = x.mean(dim=0, keepdim=True).double()
    centred = x.double() - mean
    flat = centred.permute(0, 2, 3, 1).reshape(-1, channels)
    pooled = flat.T @ flat / len(flat)
    pooled += COVARIANCE_RIDGE * pooled.diagonal().mean() * torch.eye(channels)
    blocks = in_blocks(centred, block)  # (blocks, copies * parts * block^2, C)
    number = torch.arange(copies * parts).repeat_interleave(block**2) % parts
    expected = torch.zeros(blocks.shape[:2], dtype=torch.float64)
    for part in range(parts):
        out = number == part
        # The closed form keeps the weight 1/n of the other samples, and takes the mean without the part.
        own = blocks[:, ~out].transpose(1, 2) @ blocks[:, ~out] / blocks.shape[1]
        inverse = torch.linalg.inv((1 - choice.share) * own + choice.share * pooled)
        z = blocks[:, out] * parts / (parts - 1)
        expected[:, out] = torch.einsum("bnc,bcd,bnd->bn", z, inverse, z)
    found = choice.left_out.square() * channels
    wanted = from_blocks(expected, block, copies * parts, x.shape[2:])
    torch.testing.assert_close(found.double(), wanted, rtol=2e-3, atol=2e-3)


def test_left_out_distances_are_larger_and_honest() -> None:
    """With few parts a fit flatters its own; left out, they look like parts that were never seen."""
    x, fresh = (
        _randn(n, 8, 4, 4, seed=s) * torch.linspace(0.2, 2, 16).reshape(1, 1, 4, 4)
        for n, s in ((20, 1), (400, 2))
    )
    whitening = Whitening(8)
    choice = fit_whitening(whitening, x)
    unseen = whitening(fresh).mean()
    assert choice.left_out.mean() == pytest.approx(float(unseen), rel=0.08)  # fitted on one part fewer
    assert whitening(x).mean() < choice.left_out.mean()


def test_large_features_share_a_covariance_between_positions() -> None:
    assert _block(torch.zeros(2, 112, 16, 16)) == 1
    assert _block(torch.zeros(1, 112, 32, 32)) == 2
    assert _block(torch.zeros(1, 112, 33, 32)) is None
    whitening = Whitening(40)
    fit_whitening(whitening, _randn(4, 40, 129, 129))
    assert not whitening.per_position


def test_blocks_keep_every_position() -> None:
    x = _randn(3, 1, 8, 12)
    assert torch.equal(from_blocks(in_blocks(x, 4)[..., 0], 4, 3, x.shape[2:]), x)


def test_one_odd_part_does_not_decide() -> None:
    scale = torch.linspace(0.2, 3, 36).reshape(1, 1, 6, 6)
    x = _randn(60, 24, 6, 6) * scale
    share = fit_whitening(Whitening(24), x).share
    x[7] *= 30
    assert fit_whitening(Whitening(24), x).share <= share
    assert np.isfinite(share)
