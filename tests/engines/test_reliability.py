import torch

from engines.reliability import RANGE, Reliability


def _step(height: float) -> torch.Tensor:
    """Features (1, 3, 32, 32) that are flat on the left and step by `height` in the middle."""
    x = torch.zeros(1, 3, 32, 32)
    x[..., 16:] = height
    return x


def test_without_an_exponent_nothing_is_weighed() -> None:
    distance = torch.rand(1, 1, 32, 32)
    assert torch.equal(Reliability(0.0).weighted(distance, _step(1.0)), distance)


def test_structure_weighs_more_than_flat_ground_and_nothing_is_silenced() -> None:
    reliability = Reliability(0.5)
    high = _step(1.0)
    reliability.inverse_mean.copy_(1 / reliability.contrast(high).mean())
    weights = reliability.weighted(torch.ones(1, 1, 32, 32), high)[0, 0]
    assert weights[:, 15:17].min() > 1 > weights[:, :4].max()
    assert weights.min() >= RANGE[0] ** 0.5 - 1e-6
    assert weights.max() <= RANGE[1] ** 0.5 + 1e-6


def test_the_weight_follows_relative_contrast_only() -> None:
    reliability = Reliability(0.2)
    faint, strong = _step(1.0), _step(5.0)
    reliability.inverse_mean.copy_(1 / reliability.contrast(faint).mean())
    one = reliability.weighted(torch.ones(1, 1, 32, 32), faint)
    reliability.inverse_mean.copy_(1 / reliability.contrast(strong).mean())
    other = reliability.weighted(torch.ones(1, 1, 32, 32), strong)
    torch.testing.assert_close(one, other, atol=1e-2, rtol=1e-2)
