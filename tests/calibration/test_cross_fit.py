from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from calibration.checkpoint import Checkpoint
from calibration.cross_fit import FOLDS, CrossFit, cross_fit, folds
from calibration.dataset import Split
from calibration.fit import FitSettings, fit
from calibration.record import CalibrationError
from engines.geometry import Geometry
from engines.guidance import GuidanceSettings
from engines.hlgfa import Hlgfa, NetworkSettings
from support.parts import defective_part, good_part

ODD = 5
PARTS = [defective_part(seed)[0] if seed == ODD else good_part(seed) for seed in range(20)]
GEOMETRY = Geometry(input_px=(96, 96), hr_px=(128, 128))
CLOSED = NetworkSettings(guidance=GuidanceSettings(enabled=False))
PLAIN = FitSettings(network=CLOSED, nuisances=False)


class Told:
    """Progress that remembers the last word of each step."""

    def __init__(self) -> None:
        self.last: dict[str, tuple[int, int]] = {}

    def step(self, name: str, done: int, total: int) -> None:
        self.last[name] = done, total

    def note(self, text: str) -> None:
        raise AssertionError(text)

    def scores(self, scores: np.ndarray, done: int, terms: int) -> None:
        """Of `fit` alone."""


def _fit_all(settings: FitSettings, **more: object) -> CrossFit:
    return cross_fit(PARTS, range(len(PARTS)), GEOMETRY, settings, progress=Told(), **more)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def found() -> CrossFit:
    return _fit_all(PLAIN)


def _score(network: Hlgfa, image: np.ndarray) -> float:
    with torch.no_grad():
        return float(network(torch.from_numpy(image))[1])


@pytest.mark.parametrize("count", [2, 9, 10, 11, 60, 123])
def test_folds_deal_every_part_once_and_nearly_evenly(count: int) -> None:
    dealt = folds(count, seed=3)
    assert sorted(np.concatenate(dealt).tolist()) == list(range(count))
    assert len(dealt) == min(FOLDS, count)
    assert max(map(len, dealt)) - min(map(len, dealt)) <= 1
    assert all(np.array_equal(a, b) for a, b in zip(dealt, folds(count, seed=3), strict=True))


def test_the_network_is_that_of_all_parts(found: CrossFit) -> None:
    split = Split(fit=list(range(len(PARTS))), hold_out=[])
    whole = fit(PARTS, split, GEOMETRY, PLAIN, progress=Told()).state_dict()
    for name, value in found.network.state_dict().items():
        assert torch.equal(value, whole[name]), name


def test_scores_are_those_of_a_fit_that_did_not_see_the_part(found: CrossFit) -> None:
    assert found.scores.shape == (1, len(PARTS))
    fold = folds(len(PARTS), seed=0)[0]
    others = Split(fit=[i for i in range(len(PARTS)) if i not in fold], hold_out=[])
    network = fit(PARTS, others, GEOMETRY, PLAIN, progress=Told())
    assert found.scores[0, fold] == pytest.approx([_score(network, PARTS[i]) for i in fold], abs=1e-3)


def test_an_odd_part_among_those_that_teach_stands_out_though_the_model_saw_it(found: CrossFit) -> None:
    assert found.scores[0].argmax() == ODD
    assert found.scores[0, ODD] > 1.5 * _score(found.network, PARTS[ODD])


def test_scores_keep_to_the_region_of_interest(found: CrossFit) -> None:
    inspected = np.zeros(GEOMETRY.map_shape, bool)
    inspected[:8] = True
    within = _fit_all(PLAIN, inspected=inspected).scores
    assert (within <= found.scores + 1e-6).all()
    assert within[0, ODD] < found.scores[0, ODD]


def test_nuisances_have_scores_of_their_own_and_a_stopped_training_the_same(tmp_path: Path) -> None:
    settings = msgspec.structs.replace(PLAIN, nuisances=True)
    checkpoint = Checkpoint(tmp_path / "resume", b"same", resume=False)
    first = _fit_all(settings, checkpoint=checkpoint)
    assert first.scores.shape == (2, len(PARTS))
    assert (first.scores[1] > first.scores[0]).mean() > 0.5
    again = _fit_all(settings, checkpoint=Checkpoint(tmp_path / "resume", b"same", resume=True))
    assert np.array_equal(again.scores, first.scores)


def test_progress_counts_images_and_fits() -> None:
    told = Told()
    cross_fit(PARTS, range(len(PARTS)), GEOMETRY, PLAIN, progress=told)
    assert told.last == {"features": (len(PARTS), len(PARTS)), "fits": (FOLDS + 1, FOLDS + 1)}


def test_a_guidance_that_saw_every_part_is_refused() -> None:
    with pytest.raises(CalibrationError, match="found a guidance, expected a closed form"):
        _fit_all(FitSettings())
