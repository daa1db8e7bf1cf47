from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from calibration import closed_form
from calibration.checkpoint import Checkpoint
from calibration.dataset import split_parts
from calibration.features import feature_bytes
from calibration.fit import FitSettings, fit
from calibration.guide import Schedule, train_guidance
from calibration.level_data import LevelData
from calibration.record import CalibrationError
from engines.geometry import Geometry
from engines.hlgfa import Hlgfa, NetworkSettings
from engines.resize import resample_matrix
from support.parts import defective_part, good_part

PARTS = [good_part(seed) for seed in range(24)]
GEOMETRY = Geometry(input_px=(96, 96), hr_px=(128, 128))


def _fit(parts: list[np.ndarray], **changes: object) -> Hlgfa:
    settings = FitSettings(schedule=Schedule(steps=6, batch=4), **changes)  # type: ignore[arg-type]
    return fit(parts, split_parts(len(parts), seed=0), GEOMETRY, settings, progress=Told())


class Told:
    """Progress that remembers the last word of each step, and all scores."""

    def __init__(self) -> None:
        self.last: dict[str, tuple[int, int]] = {}
        self.estimates: list[np.ndarray] = []
        self.notes: list[str] = []

    def step(self, name: str, done: int, total: int) -> None:
        self.last[name] = done, total

    def note(self, text: str) -> None:
        self.notes.append(text)

    def scores(self, scores: np.ndarray, done: int, terms: int) -> None:
        self.estimates.append(scores)


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


@pytest.mark.parametrize("steps", [*range(1, 24), 100])
def test_any_number_of_steps_trains(steps: int) -> None:
    level = Hlgfa(Geometry(input_px=(64, 64), hr_px=(64, 64)), NetworkSettings()).level(16)
    level.ridge.normal_(std=0.01)
    data = LevelData(torch.randn(4, 152, 4, 4), torch.randn(4, 112, 4, 4))
    done: list[None] = []
    train_guidance(level, data, Schedule(steps=steps, batch=2), seed=0, on_step=lambda: done.append(None))
    assert len(done) == steps
    assert all(torch.isfinite(p).all() for p in level.parameters())


def test_held_out_parts_are_never_read() -> None:
    held = set(split_parts(len(PARTS), seed=0).hold_out)

    class Watched(list[np.ndarray]):
        def __getitem__(self, index):  # type: ignore[no-untyped-def]
            assert index not in held
            return super().__getitem__(index)

    _fit(Watched(PARTS))


def test_progress_ends_at_its_total_and_scores_settle(network: Hlgfa) -> None:
    told = Told()
    split = split_parts(len(PARTS), seed=0)
    fit(PARTS, split, GEOMETRY, FitSettings(schedule=Schedule(steps=6, batch=4)), progress=told)
    assert set(told.last) == {"features", "guidance", "scoring"}
    assert all(done == total for done, total in told.last.values())
    assert [len(scores) for scores in told.estimates] == [len(split.fit)] * 5
    # The last estimate is what the network says of those parts, but for the one that each was left out of.
    final = np.array([_score(network, PARTS[i]) for i in split.fit])
    assert (told.estimates[-1] > final - 0.2).all()
    assert told.estimates[-1].mean() < final.mean() + 3


def test_a_stopped_training_goes_on_to_the_same_bits(network: Hlgfa, tmp_path: Path) -> None:
    class StopError(Exception):
        pass

    class StopsAt(Told):
        def __init__(self, name: str, done: int) -> None:
            super().__init__()
            self.where = name, done

        def step(self, name: str, done: int, total: int) -> None:
            if (name, done) == self.where:
                raise StopError

    folder = tmp_path / "resume"
    settings = FitSettings(schedule=Schedule(steps=6, batch=4))
    split = split_parts(len(PARTS), seed=0)
    for number, where in enumerate([("features", 30), ("guidance", 4), ("guidance", 8), ("scoring", 4)]):
        checkpoint = Checkpoint(folder, b"same", resume=number > 0)
        with pytest.raises(StopError):
            fit(PARTS, split, GEOMETRY, settings, progress=StopsAt(*where), checkpoint=checkpoint)
    checkpoint = Checkpoint(folder, b"same", resume=True)
    again = fit(PARTS, split, GEOMETRY, settings, progress=Told(), checkpoint=checkpoint).state_dict()
    for name, value in network.state_dict().items():
        assert torch.equal(value, again[name]), name
    checkpoint.remove()
    assert not folder.exists()


def test_features_keep_to_the_memory_allowed(network: Hlgfa) -> None:
    told, split = Told(), split_parts(len(PARTS), seed=0)
    part_gib = feature_bytes(network) * 2 / 2**30
    settings = FitSettings(schedule=Schedule(steps=1, batch=2), memory_gib=12.5 * part_gib)
    fit(PARTS, split, GEOMETRY, settings, progress=told)
    assert len(told.notes) == 1
    assert "features of 12 of 19 parts fit" in told.notes[0]
    assert told.last["features"][1] <= 24
    with pytest.raises(CalibrationError, match="expected room for 10 parts"):
        fit(PARTS, split, GEOMETRY, msgspec.structs.replace(settings, memory_gib=9 * part_gib), progress=told)


def test_bytes_of_features_are_counted_right(network: Hlgfa) -> None:
    geometry = Geometry(input_px=(96, 160), hr_px=(96, 160))
    other = Hlgfa(geometry, NetworkSettings())
    high, low = other.features(torch.zeros(1, 1, 96, 160))
    kept = [high[tap] for tap in other.hr_taps] + list(low.values())
    assert feature_bytes(other) == sum(f.numel() * 4 for f in kept)


def test_a_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    Checkpoint(tmp_path / "resume", b"one", resume=False)
    with pytest.raises(CalibrationError, match="belongs to a training with other settings"):
        Checkpoint(tmp_path / "resume", b"two", resume=True)
    with pytest.raises(CalibrationError, match="found nothing to go on from"):
        Checkpoint(tmp_path / "none", b"one", resume=True)


def test_ridge_finds_a_linear_alignment() -> None:
    """HR features that are a fixed 3x3 filter of LR features are aligned to almost nothing."""
    level = Hlgfa(GEOMETRY, NetworkSettings()).level(8)
    generator = torch.Generator().manual_seed(0)
    low = torch.randn(12, 64, 16, 16, generator=generator)
    truth = torch.randn(level.ridge.shape, generator=generator) * 0.1
    level.ridge.copy_(truth)
    high = level.base(low)
    level.ridge.zero_()
    closed_form.fit_ridge(level, low, high)
    assert (high - level.base(low)).square().mean() < 0.01 * high.square().mean()


def test_inverse_root_whitens() -> None:
    x = torch.randn(6, 6, dtype=torch.float64)
    matrix = x @ x.T + torch.eye(6, dtype=torch.float64)
    root = closed_form.inverse_root(matrix)
    torch.testing.assert_close(root @ matrix @ root, torch.eye(6, dtype=torch.float64))


def test_resampling_keeps_the_mean_of_an_image() -> None:
    torch.testing.assert_close(resample_matrix(96, 64).mean(dim=0).sum(), torch.tensor(1.0))
