import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from engines.engine import EngineError
from engines.geometry import Geometry, hr_like
from engines.guidance import Guidance, GuidanceSettings
from engines.hlgfa import PAPER, Hlgfa, NetworkSettings, localised
from engines.level import enlarged
from engines.whitening import Whitening


@pytest.mark.parametrize(("hr_px", "channels"), [((64, 64), 1), ((128, 64), 3), ((96, 160), 1)])
def test_shapes(hr_px: tuple[int, int], channels: int) -> None:
    network = Hlgfa(Geometry(input_px=(70, 90), hr_px=hr_px, channels=channels), NetworkSettings())
    shape = (70, 90) if channels == 1 else (70, 90, 3)
    with torch.no_grad():
        anomaly_map, score = network(torch.randint(0, 256, shape, dtype=torch.uint8))
    assert anomaly_map.shape == (hr_px[0] // 4, hr_px[1] // 4)
    assert score.shape == (1,)
    assert score.item() == anomaly_map.max().item()


@pytest.mark.parametrize("hr_px", [(250, 256), (0, 64), (32, 32)])
def test_sizes_that_do_not_divide_are_refused(hr_px: tuple[int, int]) -> None:
    with pytest.raises(EngineError, match="multiples of 32"):
        Geometry(input_px=(64, 64), hr_px=hr_px)


def test_channels_other_than_one_and_three_are_refused() -> None:
    with pytest.raises(EngineError, match="channels: found 2, expected 1"):
        Geometry(input_px=(64, 64), channels=2)


@pytest.mark.parametrize("settings", [GuidanceSettings(), GuidanceSettings(detail_channels=2, gate=True)])
def test_guidance_is_zero_before_it_has_learned(settings: GuidanceSettings) -> None:
    guidance = Guidance(64, 40, settings)
    assert not guidance(torch.randn(2, 64, 16, 16), torch.randn(2, 40, 16, 16)).any()


@pytest.mark.parametrize("block", [1, 2])
@pytest.mark.parametrize("channels", [1, 3, 5, 17])
def test_whitening_per_position_is_the_mahalanobis_distance_there(block: int, channels: int) -> None:
    rng = np.random.default_rng(0)
    height, width = 4, 6
    whitening = Whitening(channels)
    mean = torch.from_numpy(rng.normal(size=(1, channels, height, width))).float()
    blocks = height * width // block**2
    roots = torch.from_numpy(np.tril(rng.normal(size=(blocks, channels, channels)))).float()
    whitening.set_positions(mean, roots, block)
    x = torch.from_numpy(rng.normal(size=(3, channels, height, width))).float()
    found = whitening(x)
    for row in range(height):
        for column in range(width):
            root = roots[row // block * (width // block) + column // block]
            precision = (root.T @ root).numpy()
            for part in range(3):
                z = (x[part, :, row, column] - whitening.mean[0, :, row, column]).numpy()
                expected = np.sqrt(z @ precision @ z / channels)
                assert found[part, 0, row, column] == pytest.approx(expected, rel=1e-4, abs=2e-3)


def test_roots_of_positions_must_be_triangular_and_go_without_their_zeros() -> None:
    whitening, roots = Whitening(40), torch.tril(torch.ones(6, 40, 40))
    whitening.set_positions(torch.zeros(1, 40, 2, 3), roots, 1)
    kept = sum(b.numel() for name, b in whitening.named_buffers() if name.startswith("band_"))
    assert kept == roots.numel() * 3 // 4
    with pytest.raises(ValueError, match="above the diagonal"):
        whitening.set_positions(torch.zeros(1, 40, 2, 3), roots.transpose(1, 2), 1)


def test_the_paper_has_no_closed_form_and_no_terms_of_ours() -> None:
    network = Hlgfa(Geometry(input_px=(64, 64), hr_px=(64, 64)), PAPER)
    assert not network.appearance
    assert not network.layout
    level = network.level(16)
    low, high = torch.randn(2, 64 + 88, 4, 4), torch.randn(2, 112, 4, 4)
    assert torch.equal(level.base(low), low[:, -112:])
    cosine = (high * low[:, -112:]).sum(1) / high.norm(dim=1) / low[:, -112:].norm(dim=1)
    torch.testing.assert_close(level.discrepancy(high, level.aligned(low, high))[:, 0], 1 - cosine)


def test_a_coarse_response_is_held_to_the_fine_peak() -> None:
    fine, coarse = torch.zeros(1, 1, 40, 40), torch.full((1, 1, 40, 40), -0.2)
    fine[0, 0, 20, 10] = 3.0
    coarse[0, 0, 14:27, 4:17] = 2.0
    found = localised(fine, coarse)
    assert found[0, 0, 20, 10] == pytest.approx(5.0)
    assert found[0, 0, 16, 12] < 0.1  # inside the coarse response, far below the fine peak
    assert found[0, 0, 35, 35] == pytest.approx(-0.2)
    assert found.argmax() == 20 * 40 + 10


@given(st.integers(0, 1000))
def test_localising_adds_nothing_and_keeps_the_fine_maximum(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    fine, coarse = (torch.randn(1, 1, 30, 26, generator=generator) for _ in range(2))
    found = localised(fine, coarse)
    assert (found <= fine + coarse + 1e-6).all()
    peak = fine.argmax()
    assert found.flatten()[peak] == pytest.approx(float((fine + coarse).flatten()[peak]), abs=1e-5)


@pytest.mark.parametrize("size", [(2, 2), (2, 3), (3, 5)])
def test_enlarging_keeps_positions_when_a_view_does_not_divide(size: tuple[int, int]) -> None:
    """Features beyond the edge are cut; the others lie where they lie without the cut."""
    x = torch.arange(9.0).reshape(1, 1, 3, 3)
    whole = torch.nn.functional.interpolate(x, scale_factor=2, mode="bilinear")
    assert torch.equal(enlarged(x, 2, size), whole[:, :, : size[0], : size[1]])
    assert enlarged(x, 1, (3, 3)) is x


@pytest.mark.parametrize(
    ("input_px", "side", "expected"),
    [
        ((512, 512), 256, (256, 256)),
        ((768, 305), 256, (416, 160)),
        ((3000, 4096), 1024, (864, 1184)),
        ((64, 4096), 256, (64, 4096)),
    ],
)
def test_the_hr_view_has_the_shape_of_the_image(
    input_px: tuple[int, int], side: int, expected: tuple[int, int]
) -> None:
    assert hr_like(input_px, side) == expected


@given(st.integers(64, 4096), st.integers(64, 4096), st.integers(4, 40))
def test_the_hr_view_distorts_little(height: int, width: int, step: int) -> None:
    found = hr_like((height, width), 32 * step)
    assert all(size >= 64 and size % 32 == 0 for size in found)
    ratio = found[0] * width / (found[1] * height)
    assert max(ratio, 1 / ratio) <= 1.51  # at most half a step of the smallest side, 64


def test_terms_and_their_strides() -> None:
    guidance = GuidanceSettings(enabled=False)
    network = Hlgfa(Geometry(input_px=(64, 64), hr_px=(64, 64)), NetworkSettings(guidance=guidance))
    assert all(network.level(tap).guidance is None for tap in network.taps)
    with torch.no_grad():
        maps = network.maps(*network.features(torch.zeros(2, 1, 64, 64)))
    found = [(stride, tuple(m.shape)) for stride, m in maps]
    alignment, appearance = [(8, (2, 1, 8, 8)), (16, (2, 1, 4, 4))], [(16, (2, 1, 4, 4)), (32, (2, 1, 2, 2))]
    assert found == [*alignment, *appearance, (64, (2, 1, 1, 1))]


def test_only_features_that_a_term_needs_are_computed() -> None:
    settings = NetworkSettings(taps=(16,), appearance_taps=(), layout_taps=())
    assert Hlgfa(Geometry(input_px=(64, 64), hr_px=(64, 64)), settings).backbone.taps == (8, 16)
