"""An engine without a model, to measure the line around it: it waits, and fails every part."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from engines.engine import EngineInfo, EngineOutput
from engines.tensors import check_image

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from typing_extensions import Self


FAILING_SCORE = 1e9
"""Above every threshold: nothing may be accepted by an engine that looks at nothing."""


class StubEngine:
    """Takes images of (height_px, width_px), or with 3 channels, and answers after `wait_ms`.

    It sleeps, as a CPU does while a GPU computes.
    """

    def __init__(self, *, height_px: int, width_px: int, channels: int, wait_ms: float) -> None:
        self._wait_ms = wait_ms
        self._shape = (height_px, width_px) if channels == 1 else (height_px, width_px, channels)
        self._map = np.zeros((64, 64), np.float32)
        self._info = EngineInfo(
            model_id="stub",
            model_sha256="0" * 64,
            runtime="stub",
            runtime_version="1",
            precision="fp32",
            device=f"waits {wait_ms:g} ms",
            height_px=height_px,
            width_px=width_px,
            channels=channels,
            map_height=64,
            map_width=64,
        )

    @property
    def info(self) -> EngineInfo:
        """What the engine is and what it takes."""
        return self._info

    def infer(self, image: NDArray[np.uint8]) -> EngineOutput:
        """A map of zeros and a failing score, for any image; see `engines.engine.Engine`."""
        check_image(image, self._shape)
        time.sleep(self._wait_ms / 1000)
        return EngineOutput(FAILING_SCORE, self._map.copy())

    def close(self) -> None:
        """Nothing to free."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
