"""Image scores of one good part: as it is, and with nuisances as training injects them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from calibration.augmentation import NuisanceSettings, inject_raw
from calibration.inspected import inspected_output

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from engines.engine import Engine


def part_scores(
    engine: Engine,
    image: NDArray[np.uint8],
    inspected: NDArray[np.bool_] | None,
    *,
    nuisance: NuisanceSettings | None,
    hr_px: tuple[int, int],
    seed: tuple[int, int],
) -> tuple[float, float | None]:
    """Scores under a region of interest; the second is None without nuisances.

    Args:
        engine: of the model.
        image: raw, as the engine takes it.
        inspected: (map_height, map_width) bool, or None for the whole image.
        nuisance: how much is injected.
        hr_px: (height, width) of the HR view, at which nuisances are drawn.
        seed: of the model and number of the part, so that each part has nuisances of its own.
    """

    def score(shown: NDArray[np.uint8]) -> float:
        return inspected_output(engine.infer(shown), inspected).score

    if nuisance is None:
        return score(image), None
    disturbed = inject_raw(image, hr_px, nuisance, np.random.default_rng(seed))
    return score(image), score(disturbed)
