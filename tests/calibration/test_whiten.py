import pytest
import torch

from calibration.closed_form import COVARIANCE_RIDGE
from calibration.copies import Copies
from calibration.whiten import PRIOR_PARTS, _block, fit_whitening
from engines.whitening import Whitening, from_blocks, in_blocks


def _randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _unlike(parts: int, channels: int, side: int, seed: int = 0) -> torch.Tensor:
    """Features whose spread grows from position to position."""
    scale = torch.linspace(0.3, 3, side * side).reshape(1, 1, side, side)
    return _randn(parts, channels, side, side, seed=seed) * scale


@pytest.mark.parametrize(("block", "nuisance"), [(1, None), (1, 0.0), (1, 2.0), (2, None), (2, 2.0)])
def test_leaving_a_part_out_in_closed_form_equals_doing_it(
    block: int, nuisance: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By definition: mean and own covariance from the other parts, all that is common as fitted."""
    channels, side, parts = 4, 4, 12
    monkeypatch.setattr("calibration.whiten.ROOT_NUMBERS", side * side // block**2 * channels**2)
    clean = _unlike(parts, channels, side)
    disturbed = None if nuisance is None else clean + 0.3 * _randn(parts, channels, side, side, seed=9)
    whitening = Whitening(channels)
    found = fit_whitening(whitening, Copies(clean, disturbed), nuisance=nuisance or 0.0)
    assert whitening.block == block
    mean = clean.mean(dim=0, keepdim=True).double()
    flat = (clean - mean).permute(0, 2, 3, 1).reshape(-1, channels)
    pooled = flat.T @ flat / len(flat)
    share = PRIOR_PARTS / (PRIOR_PARTS + parts)
    common = share * pooled + COVARIANCE_RIDGE * pooled.diagonal().mean() * torch.eye(channels)
    if disturbed is not None:
        change = (disturbed - clean).double().permute(0, 2, 3, 1).reshape(-1, channels)
        common = common + nuisance * change.T @ change / len(change)
    number = torch.arange(parts).repeat_interleave(block**2)
    blocks = in_blocks(clean - mean, block)
    for copy, distances in ((clean, found.clean), (disturbed, found.disturbed)):
        if copy is None or distances is None:
            assert copy is distances
            continue
        expected = torch.zeros(blocks.shape[:2], dtype=torch.float64)
        for part in range(parts):
            out = number == part
            # The closed form keeps the weight 1/n of the other samples, and takes the mean without the part.
            own = blocks[:, ~out].transpose(1, 2) @ blocks[:, ~out] / blocks.shape[1]
            inverse = torch.linalg.inv((1 - share) * own + common)
            without = (clean.sum(dim=0) - clean[part]) / (parts - 1)
            z = in_blocks((copy[part] - without)[None].double(), block)
            expected[:, out] = torch.einsum("bnc,bcd,bnd->bn", z, inverse, z)
        wanted = from_blocks(expected, block, parts, clean.shape[2:])
        torch.testing.assert_close((distances.square() * channels).double(), wanted, rtol=2e-3, atol=2e-3)


def test_left_out_distances_are_larger_and_honest() -> None:
    """With few parts a fit flatters its own; left out, they look like parts that were never seen."""
    x, fresh = _unlike(20, 8, 4, seed=1), _unlike(400, 8, 4, seed=2)
    whitening = Whitening(8)
    found = fit_whitening(whitening, Copies(x, None)).clean
    assert found.mean() == pytest.approx(float(whitening(fresh).mean()), rel=0.12)  # fitted on one part fewer
    assert whitening(x).mean() < found.mean()


def test_a_defect_stands_out_where_parts_vary_little() -> None:
    whitening = Whitening(8)
    fit_whitening(whitening, Copies(_unlike(100, 8, 4), None))
    distance = whitening(torch.full((1, 8, 4, 4), 1.0))[0, 0]
    assert distance[0, 0] > 3 * distance[3, 3]
    fit_whitening(whitening, Copies(_unlike(100, 8, 4), None), per_position=False)
    assert not whitening.per_position
    assert whitening(torch.full((1, 8, 4, 4), 1.0)).std() < 0.05


def test_what_nuisances_change_somewhere_is_forgiven_everywhere() -> None:
    """A direction that nuisances move in costs less, at positions that none of them hit, too."""
    clean = _unlike(60, 8, 4)
    hit = torch.zeros_like(clean)
    hit[:, 0, 1, 2] = 6.0  # one channel, one position
    probe = torch.zeros(1, 8, 4, 4)
    probe[:, 0] = 6.0
    other = torch.zeros(1, 8, 4, 4)
    other[:, 1] = 6.0
    strict, lenient = Whitening(8), Whitening(8)
    fit_whitening(strict, Copies(clean, clean + hit), nuisance=0.0)
    fit_whitening(lenient, Copies(clean, clean + hit), nuisance=4.0)
    assert (lenient(probe) < strict(probe)).all()
    assert lenient(probe)[0, 0, 0, 0] < 0.5 * strict(probe)[0, 0, 0, 0]
    torch.testing.assert_close(lenient(other), strict(other), rtol=0.1, atol=0.1)


def test_large_features_share_a_covariance_between_positions() -> None:
    assert _block(torch.zeros(2, 112, 32, 32)) == 1
    assert _block(torch.zeros(1, 112, 64, 64)) == 2
    assert _block(torch.zeros(1, 112, 65, 64)) is None
    whitening = Whitening(40)
    fit_whitening(whitening, Copies(_randn(4, 40, 129, 129), None))
    assert not whitening.per_position


def test_blocks_keep_every_position() -> None:
    x = _randn(3, 1, 8, 12)
    assert torch.equal(from_blocks(in_blocks(x, 4)[..., 0], 4, 3, x.shape[2:]), x)
