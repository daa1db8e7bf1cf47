"""The baselines against their definitions, on features small enough for slow and plain code."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from scipy.spatial.distance import mahalanobis
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from calibration.metrics import auroc
from calibration.record import CalibrationError
from engines.backbone import BACKBONE
from engines.efficientnet_lite import EfficientNetLite
from tools.baselines.coreset import greedy_k_centre, projected
from tools.baselines.maps import Baseline, concatenated, smoothed
from tools.baselines.padim import Padim, PadimSettings
from tools.baselines.patchcore import PatchCore, PatchCoreSettings
from tools.baselines.student import Student, StudentNetwork, StudentSettings

TAPS = (8, 16)
SIZE_PX = 64
SQUARE = (slice(24, 40), slice(8, 24))


def _quiet(_done: int, _total: int) -> None:
    pass


def _features(images: int, seed: int, *, square: bool = False) -> dict[int, Tensor]:
    """Toy features of 64x64 images: a fixed pattern and a little noise; other values in the square."""
    pattern, noise = torch.Generator().manual_seed(0), torch.Generator().manual_seed(seed)
    features = {}
    for stride, channels in ((4, 24), (8, 40), (16, 112)):
        side = SIZE_PX // stride
        x = torch.randn(1, channels, side, side, generator=pattern)
        x = x + 0.1 * torch.randn(images, channels, side, side, generator=noise)
        if square:
            rows, columns = (slice(s.start // stride, -(-s.stop // stride)) for s in SQUARE)
            x[:, :, rows, columns] = 2 * torch.randn(x[:, :, rows, columns].shape, generator=noise)
        features[stride] = x
    return features


def _padim(seed: int) -> Baseline:
    return Padim.fit(_features(20, 1), TAPS, PadimSettings(), seed=seed, progress=_quiet)


def _patchcore(seed: int) -> Baseline:
    settings = PatchCoreSettings(max_patches=600)
    return PatchCore.fit(_features(20, 1), TAPS, settings, seed=seed, progress=_quiet)


def _student(seed: int, steps: int = 2) -> Student:
    settings = StudentSettings(steps=steps, batch=4)
    return Student.fit(_features(20, 1), TAPS, settings, seed=seed, progress=_quiet)


@pytest.fixture(scope="module")
def trained_student() -> Student:
    return _student(0, steps=30)


def _stands_out(baseline: Baseline) -> None:
    """A square of other features makes the image and the square score higher."""
    good, bad = baseline.score(_features(6, 2)), baseline.score(_features(6, 3, square=True))
    assert bad.maps.shape == (6, SIZE_PX, SIZE_PX)
    assert bad.maps.dtype == bad.images.dtype == np.float32
    assert 3 * good.images.max() < bad.images.min()
    inside = np.zeros((SIZE_PX, SIZE_PX), bool)
    inside[SQUARE] = True
    assert all(auroc(anomaly_map, inside) > 0.97 for anomaly_map in bad.maps)


@pytest.mark.parametrize("fit", [_padim, _patchcore, _student])
class TestEveryBaseline:
    def test_the_same_seed_gives_the_same_bits_and_another_does_not(
        self, fit: Callable[[int], Baseline]
    ) -> None:
        torch.manual_seed(5)
        one = fit(0).score(_features(2, 2))
        torch.manual_seed(6)
        two, other = fit(0).score(_features(2, 2)), fit(1).score(_features(2, 2))
        assert np.array_equal(one.maps, two.maps)
        assert np.array_equal(one.images, two.images)
        assert not np.array_equal(one.maps, other.maps)

    def test_an_image_scores_alone_as_it_does_among_others(self, fit: Callable[[int], Baseline]) -> None:
        features, baseline = _features(3, 2), fit(0)
        together = baseline.score(features)
        alone = baseline.score({stride: x[1:2] for stride, x in features.items()})
        np.testing.assert_allclose(alone.maps[0], together.maps[1], rtol=1e-4)
        np.testing.assert_allclose(alone.images[0], together.images[1], rtol=1e-4)

    def test_fitting_leaves_the_global_random_state_alone(self, fit: Callable[[int], Baseline]) -> None:
        before = torch.get_rng_state()
        fit(0)
        assert torch.equal(torch.get_rng_state(), before)


def test_taps_that_are_not_there_are_refused() -> None:
    with pytest.raises(CalibrationError, match=r"found \[8, 32\], expected strides out of \[4, 8, 16\]"):
        concatenated(_features(2, 1), (8, 32), mode="nearest")
    with pytest.raises(CalibrationError, match=r"student: found taps \[4, 8\], expected some of \[8, 16\]"):
        Student.fit(_features(2, 1), (4, 8), StudentSettings(steps=1), seed=0, progress=_quiet)


def test_a_student_of_another_teacher_is_refused() -> None:
    features = {**_features(2, 1), 4: torch.zeros(2, 32, 16, 16)}
    with pytest.raises(CalibrationError, match=r"found channels by stride {4: 32, .*expected {4: 24, "):
        Student.fit(features, TAPS, StudentSettings(steps=1), seed=0, progress=_quiet)


def test_a_coarse_tap_is_repeated_or_interpolated_on_the_fine_grid() -> None:
    features = {8: torch.zeros(1, 1, 4, 4), 16: torch.tensor([[[[0.0, 4.0], [8.0, 12.0]]]])}
    assert concatenated(features, TAPS, mode="nearest")[0, 1, 0].tolist() == [0, 0, 4, 4]
    assert concatenated(features, TAPS, mode="bilinear")[0, 1, 0].tolist() == [0, 1, 3, 4]
    features[8][0, 0, 1, 1] = 9.0
    mean = concatenated(features, (8,), mode="bilinear", mean_px=3)[0, 0]
    assert mean.tolist() == [[1, 1, 1, 0], [1, 1, 1, 0], [1, 1, 1, 0], [0, 0, 0, 0]]


def test_smoothing_equals_scipy() -> None:
    maps = np.random.default_rng(0).random((2, 48, 64)).astype(np.float32)
    expected = np.stack([gaussian_filter(m.astype(np.float64), 4.0) for m in maps])
    np.testing.assert_allclose(smoothed(maps, 4.0), expected, atol=1e-5)


class TestPadim:
    def test_a_square_of_other_features_stands_out(self) -> None:
        _stands_out(_padim(0))

    def test_the_distance_is_mahalanobis_per_position(self) -> None:
        good, test = _features(30, 1), _features(2, 2)
        padim = Padim.fit(good, TAPS, PadimSettings(dimensions=20), seed=3, progress=_quiet)
        assert len(set(padim.chosen.tolist())) == 20
        found = padim.distances(test)
        x, y = (concatenated(f, TAPS, mode="nearest")[:, padim.chosen].double().numpy() for f in (good, test))
        for row, column in ((0, 0), (3, 6), (7, 7)):
            values = x[:, :, row, column]
            inverse = np.linalg.inv(np.cov(values, rowvar=False) + 0.01 * np.eye(20))
            for image in range(2):
                expected = mahalanobis(y[image, :, row, column], values.mean(0), inverse)
                assert found[image, row, column].item() == pytest.approx(expected, rel=1e-4)

    def test_fewer_dimensions_than_asked_for_are_all_taken(self) -> None:
        padim = Padim.fit(_features(5, 1), TAPS, PadimSettings(dimensions=999), seed=0, progress=_quiet)
        assert padim.chosen.tolist() == list(range(152))

    def test_the_image_score_is_the_maximum_of_the_map(self) -> None:
        scores = _padim(0).score(_features(3, 2))
        assert scores.images.tolist() == scores.maps.max(axis=(1, 2)).tolist()

    def test_one_part_is_refused(self) -> None:
        with pytest.raises(CalibrationError, match="found 1 good part"):
            Padim.fit(_features(1, 1), TAPS, PadimSettings(), seed=0, progress=_quiet)


class TestCoreset:
    def test_it_equals_a_naive_greedy(self) -> None:
        points = torch.randn(80, 5, generator=torch.Generator().manual_seed(1))
        distances = np.linalg.norm(points.numpy()[:, None] - points.numpy()[None], axis=2)
        naive = [7]
        for _ in range(19):
            naive.append(int(distances[:, naive].min(axis=1).argmax()))
        assert greedy_k_centre(points, 20, first=7, progress=_quiet).tolist() == naive

    def test_it_covers_better_than_a_random_choice(self) -> None:
        generator = torch.Generator().manual_seed(2)
        points = torch.randn(1000, 8, generator=generator) ** 3
        picks = greedy_k_centre(points, 100, first=0, progress=_quiet)

        def radius(chosen: Tensor) -> float:
            return float(torch.cdist(points, points[chosen]).amin(dim=1).max())

        at_random = [radius(torch.randperm(1000, generator=generator)[:100]) for _ in range(10)]
        assert radius(picks) < 0.6 * min(at_random)

    def test_copies_are_not_picked_twice(self) -> None:
        assert sorted(greedy_k_centre(torch.ones(6, 3), 6, first=2, progress=_quiet).tolist()) == [*range(6)]

    def test_the_projection_keeps_distances_within_a_third(self) -> None:
        generator = torch.Generator().manual_seed(3)
        points = torch.randn(50, 400, generator=generator)
        ratio = torch.pdist(projected(points, 128, generator=generator)) / torch.pdist(points)
        assert ratio.mean().item() == pytest.approx(1.0, abs=0.05)
        assert 0.66 < ratio.min() < ratio.max() < 1.33
        assert projected(points, 400, generator=generator) is points


class TestPatchCore:
    def test_a_square_of_other_features_stands_out(self) -> None:
        _stands_out(_patchcore(0))

    def test_the_memory_is_a_tenth_of_the_patches_drawn(self) -> None:
        patchcore = PatchCore.fit(
            _features(20, 1), TAPS, PatchCoreSettings(max_patches=500), seed=0, progress=_quiet
        )
        assert patchcore.memory.shape == (50, 152)
        all_patches = concatenated(_features(20, 1), TAPS, mode="bilinear", mean_px=3)
        all_patches = all_patches.permute(0, 2, 3, 1).reshape(-1, 152)
        assert torch.cdist(patchcore.memory, all_patches).amin(dim=1).max() < 1e-2

    def test_distances_equal_scikit_learn(self) -> None:
        generator = torch.Generator().manual_seed(4)
        memory = torch.randn(300, 16, generator=generator) + 5
        patches = torch.cat([torch.randn(1500, 16, generator=generator) + 5, memory[:10]])
        patchcore = PatchCore(TAPS, memory, PatchCoreSettings())
        distances, indices = patchcore.nearest(patches)
        expected = NearestNeighbors(n_neighbors=1).fit(memory.double().numpy())
        far, which = expected.kneighbors(patches.double().numpy())
        np.testing.assert_allclose(distances.numpy(), far[:, 0], rtol=1e-5, atol=1e-6)
        assert indices.tolist() == which[:, 0].tolist()
        assert distances[-10:].tolist() == [0.0] * 10

    def test_the_image_score_is_weighted_as_equation_7_says(self) -> None:
        memory = torch.tensor([[0.0], [1.0], [3.0], [10.0]])
        patchcore = PatchCore((8,), memory, PatchCoreSettings(neighbours=3))
        distances, score = patchcore.image_score(torch.tensor([[0.25], [-2.0], [3.5]]))
        assert distances.tolist() == [0.25, 2.0, 0.5]
        # Worst patch -2, its member 0; 0's three neighbours are 0, 1 and 3, at 2, 3 and 5 from it.
        weight = 1 - math.exp(2) / (math.exp(2) + math.exp(3) + math.exp(5))
        assert float(score) == pytest.approx(weight * 2.0, rel=1e-6)

    def test_copies_in_the_memory_do_not_disturb_the_weight(self) -> None:
        patchcore = PatchCore((8,), torch.tensor([[1.0], [1.0], [1.0]]), PatchCoreSettings())
        _, score = patchcore.image_score(torch.tensor([[3.0]]))
        assert float(score) == pytest.approx(2.0 * (1 - 1 / 3))


class TestStudent:
    def test_a_square_of_other_features_stands_out(self, trained_student: Student) -> None:
        _stands_out(trained_student)

    def test_the_loss_falls(self, trained_student: Student) -> None:
        losses = trained_student.losses
        assert len(losses) == 30
        assert losses[0] == pytest.approx(2.0, abs=0.1)  # two levels, no agreement: one each
        assert np.mean(losses[-5:]) < 0.2

    def test_its_map_is_the_product_of_one_minus_cosine(self) -> None:
        features = _features(1, 2)
        student = Student(StudentNetwork(TAPS), [])
        with torch.no_grad():
            found = student.network(features[4])
        expected = torch.ones(SIZE_PX, SIZE_PX)
        for tap in TAPS:
            distance = 1 - torch.cosine_similarity(features[tap], found[tap])
            size = (SIZE_PX, SIZE_PX)
            expected *= torch.nn.functional.interpolate(distance[None], size=size, mode="bilinear")[0, 0]
        scores = student.score(features)
        np.testing.assert_allclose(scores.maps[0], expected.numpy(), atol=1e-5)
        assert scores.images[0] == scores.maps[0].max()

    def test_it_has_the_teachers_layers(self) -> None:
        teacher = EfficientNetLite(BACKBONE, (4, 8, 16), channels=1)
        after = [
            p.shape for block in teacher.blocks[3:] for n, p in block.named_parameters() if "weight" in n
        ]
        layers = [m for m in StudentNetwork(TAPS).modules() if isinstance(m, torch.nn.Conv2d)]
        assert [layer.weight.shape for layer in layers] == after

    def test_a_student_of_one_tap_is_shorter(self) -> None:
        found = StudentNetwork((8,)).eval()(torch.zeros(1, 24, 16, 32))
        assert {tap: tuple(x.shape) for tap, x in found.items()} == {8: (1, 40, 8, 16)}
