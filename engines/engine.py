"""The seam between the line and whatever computes: raw image in, anomaly map and image score out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Self


class EngineError(Exception):
    """The engine cannot be built, loaded or run as asked; the message says what, found, expected, do."""


class EngineInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine is and what it takes.

    `height_px`, `width_px` and `channels` are the raw camera image; `map_height` and `map_width` the
    anomaly map. `model_sha256` is the hash of the ONNX file that the engine was made from. `memory` names
    what an engine on a GPU allocates and copies with; `note` says what it does another way than usual.
    """

    model_id: str
    model_sha256: str
    runtime: str
    runtime_version: str
    precision: str
    device: str
    height_px: int
    width_px: int
    channels: int
    map_height: int
    map_width: int
    memory: str | None = None
    note: str | None = None


class EngineOutput(msgspec.Struct, frozen=True):
    """One frame's raw result: `score` in raw units, `anomaly_map` (map_height, map_width) float32.

    Neither is checked for being finite here: a non-finite value is the judge's to reject.
    """

    score: float
    anomaly_map: NDArray[np.float32]


class Engine(Protocol):
    """One loaded, warmed-up model. Constructing it loads it; `close()` is idempotent."""

    @property
    def info(self) -> EngineInfo:
        """What the engine is and what it takes."""
        ...

    def infer(self, image: NDArray[np.uint8]) -> EngineOutput:
        """Compute anomaly map and image score of one raw camera image.

        Args:
            image: (height_px, width_px) uint8 for one channel, (height_px, width_px, 3) uint8 RGB for three,
                C-contiguous, may be read-only; it is not changed and not kept.

        Raises:
            EngineError: shape or type is not the engine's, or the runtime failed.
        """
        ...

    def close(self) -> None:
        """Free what the engine holds; safe to call again."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...
