import numpy as np
import pytest
import torch

from engines.engine import EngineError
from engines.guidance import Guidance, GuidanceSettings
from engines.hlgfa import TAPS, Geometry, Hlgfa
from engines.whitening import Whitening


@pytest.mark.parametrize(("hr_px", "channels"), [((64, 64), 1), ((128, 64), 3)])
def test_shapes(hr_px: tuple[int, int], channels: int) -> None:
    network = Hlgfa(Geometry(input_px=(70, 90), hr_px=hr_px, channels=channels), GuidanceSettings())
    shape = (70, 90) if channels == 1 else (70, 90, 3)
    with torch.no_grad():
        anomaly_map, score = network(torch.randint(0, 256, shape, dtype=torch.uint8))
    assert anomaly_map.shape == (hr_px[0] // 4, hr_px[1] // 4)
    assert score.shape == (1,)
    assert score.item() == anomaly_map.max().item()


@pytest.mark.parametrize("hr_px", [(250, 256), (0, 64), (32, 32)])
def test_sizes_that_do_not_divide_are_refused(hr_px: tuple[int, int]) -> None:
    with pytest.raises(EngineError, match="multiples of 64"):
        Geometry(input_px=(64, 64), hr_px=hr_px)


def test_channels_other_than_one_and_three_are_refused() -> None:
    with pytest.raises(EngineError, match="channels: found 2, expected 1"):
        Geometry(input_px=(64, 64), channels=2)


@pytest.mark.parametrize("settings", [GuidanceSettings(), GuidanceSettings(detail_channels=2, gate=False)])
def test_guidance_is_zero_before_it_has_learned(settings: GuidanceSettings) -> None:
    guidance = Guidance(64, 40, settings)
    assert not guidance(torch.randn(2, 64, 16, 16), torch.randn(2, 40, 16, 16)).any()


def test_whitening_per_position_equals_the_full_inverse() -> None:
    """d^2 with all directions kept is z^T C_p^-1 z at every position."""
    rng = np.random.default_rng(0)
    channels, positions = 5, 4
    basis = torch.from_numpy(rng.normal(size=(positions, channels, channels))).float()
    covariance = basis @ basis.transpose(1, 2) + torch.eye(channels)
    values, vectors = torch.linalg.eigh(covariance)
    whitening = Whitening(channels)
    noise = values[:, 0]  # the smallest: all others are directions
    whitening.inverse_noise = (1 / noise).reshape(1, 1, 2, 2)
    whitening.directions = vectors * (1 / noise[:, None] - 1 / values).clamp(min=0).sqrt()[:, None, :]
    z = torch.from_numpy(rng.normal(size=(3, channels, 2, 2))).float()
    by_position = z.reshape(3, channels, positions).permute(0, 2, 1)
    expected = torch.einsum("npc,pcd,npd->np", by_position, torch.linalg.inv(covariance), by_position)
    found = whitening(z).reshape(3, positions) ** 2 * channels
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)


def test_every_level_is_aligned() -> None:
    network = Hlgfa(Geometry(input_px=(64, 64), hr_px=(64, 64)), GuidanceSettings(enabled=False))
    assert [network.level(tap).tap for tap in TAPS] == list(TAPS)
    assert all(network.level(tap).guidance is None for tap in TAPS)
