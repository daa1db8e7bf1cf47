"""What fits of one set share: features, and the guidance of those that train the same one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from calibration.features import Features
    from calibration.fit import FitSettings


class FitCache:
    """A `calibration.checkpoint.Kept` in memory, for fits on the same images and split, one after the other.

    Features of one seed are held, and serve every fit that needs no other strides of either view. `read_s` is
    how long what a fit read from here had taken to make.
    """

    def __init__(self) -> None:
        self._of: tuple[object, ...] | None = None
        self._held: set[tuple[str, int]] = set()
        self._settings: FitSettings | None = None
        self._kept: dict[object, tuple[Any, float]] = {}
        self._asked = 0.0
        self.read_s = 0.0

    def begin(self, settings: FitSettings) -> None:
        """Say which fit is next; forgets what it cannot begin with."""
        network = settings.network
        of = (settings.seed, settings.nuisances, settings.nuisance, network.backbone)
        needed = {("high", tap) for tap in network.hr_taps} | {("low", tap) for tap in network.strides}
        if of != self._of or not needed <= self._held:
            self._kept.clear()
            self._of, self._held = of, needed
        self._settings, self.read_s = settings, 0.0

    def load_features(self) -> Features | None:
        """Those of an earlier fit."""
        features: Features | None = self._load("features")
        return features

    def save_features(self, features: Features) -> None:
        """Keep them."""
        self._save("features", features)

    def load_guidance(self, tap: int) -> dict[str, Any] | None:
        """The end of a training of the same guidance."""
        state: dict[str, Any] | None = self._load(self._guidance_key(tap))
        return state

    def save_guidance(self, tap: int, state: dict[str, Any]) -> None:
        """Keep the last step only: before it nobody goes on."""
        assert self._settings is not None
        if state["done"] == self._settings.schedule.steps:
            self._save(self._guidance_key(tap), state)

    def _guidance_key(self, tap: int) -> tuple[object, ...]:
        assert self._settings is not None
        network = self._settings.network
        return tap, network.guidance, network.closed_form, self._settings.schedule

    def _load(self, key: object) -> Any:
        self._asked = time.perf_counter()
        value, seconds = self._kept.get(key, (None, 0.0))
        self.read_s += seconds
        return value

    def _save(self, key: object, value: object) -> None:
        self._kept[key] = value, time.perf_counter() - self._asked
