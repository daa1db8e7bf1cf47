import time

import msgspec
import torch

from calibration.features import Features
from calibration.fit import FitSettings
from calibration.guide import Schedule
from engines.guidance import GuidanceSettings
from engines.hlgfa import NetworkSettings
from tools.baselines.cache import FitCache

PLAIN = FitSettings(schedule=Schedule(steps=7))
replace = msgspec.structs.replace


def _filled() -> FitCache:
    cache = FitCache()
    cache.begin(PLAIN)
    assert cache.load_features() is None
    time.sleep(0.01)
    cache.save_features(Features({8: torch.zeros(1)}, {}))
    assert cache.load_guidance(8) is None
    for done in (5, 7):
        cache.save_guidance(8, {"done": done})
    return cache


def test_a_fit_with_other_terms_begins_with_features_and_guidance() -> None:
    cache = _filled()
    cache.begin(replace(PLAIN, network=NetworkSettings(appearance_taps=(), background=0.0)))
    assert cache.load_features() is not None
    assert cache.load_guidance(8) == {"done": 7}
    assert cache.load_guidance(16) is None
    assert cache.read_s >= 0.01


def test_another_guidance_is_trained_anew() -> None:
    cache = _filled()
    for network in (
        NetworkSettings(guidance=GuidanceSettings(gate=True)),
        NetworkSettings(closed_form=False),
    ):
        cache.begin(replace(PLAIN, network=network))
        assert cache.load_guidance(8) is None
        assert cache.load_features() is not None
    cache.begin(replace(PLAIN, schedule=Schedule(steps=8)))
    assert cache.load_guidance(8) is None


def test_other_features_are_not_mixed_up() -> None:
    for other in (
        replace(PLAIN, seed=1),
        replace(PLAIN, nuisances=False),
        replace(PLAIN, network=NetworkSettings(backbone="efficientnet_lite1")),
        replace(PLAIN, network=NetworkSettings(taps=(4, 8))),
        replace(PLAIN, network=NetworkSettings(appearance_taps=(4, 16))),  # of the LR view alone until now
    ):
        cache = _filled()
        cache.begin(other)
        assert cache.load_features() is None
        assert cache.load_guidance(8) is None
