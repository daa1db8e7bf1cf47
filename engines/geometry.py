"""The fixed sizes of one model: raw image, HR and LR view, features and anomaly map."""

from __future__ import annotations

import math

import msgspec

from engines.engine import EngineError

SIZE_STEP_PX = 32
"""HR sizes are multiples of the greatest stride."""
MIN_SIZE_PX = 64
"""So that the LR view has one position at that stride."""
MAP_STRIDE = 4
_LONGEST_PX = 16_384


class Geometry(msgspec.Struct, frozen=True, kw_only=True):
    """Fixed sizes of one model: (height, width) in pixels of raw image and HR view, and the channels."""

    input_px: tuple[int, int]
    hr_px: tuple[int, int] = (256, 256)
    channels: int = 1

    def __post_init__(self) -> None:
        if self.channels not in {1, 3}:
            raise EngineError(f"channels: found {self.channels}, expected 1 (grey) or 3 (RGB).")
        if any(size < MIN_SIZE_PX or size % SIZE_STEP_PX for size in self.hr_px):
            raise EngineError(
                f"HR size: found {self.hr_px}, expected multiples of {SIZE_STEP_PX} pixels, "
                f"{MIN_SIZE_PX} at least."
            )

    @property
    def lr_px(self) -> tuple[int, int]:
        """The LR view: half the HR view."""
        return self.hr_px[0] // 2, self.hr_px[1] // 2

    @property
    def map_shape(self) -> tuple[int, int]:
        """(height, width) of the anomaly map."""
        return self.hr_px[0] // MAP_STRIDE, self.hr_px[1] // MAP_STRIDE

    def level_shape(self, tap: int) -> tuple[int, int]:
        """(height, width) of the HR features at a stride."""
        return self.hr_px[0] // tap, self.hr_px[1] // tap


def hr_like(input_px: tuple[int, int], side_px: int) -> tuple[int, int]:
    """HR size (height, width) of an image's shape with about the area of a square of `side_px`.

    The size with the least sum of distortion and a quarter of the change of area, both as logarithms of
    ratios; so a shape that has no fitting size of that area gets a larger one rather than a squashed view.
    """
    height, width = input_px
    steps = range(MIN_SIZE_PX, _LONGEST_PX + 1, SIZE_STEP_PX)
    sizes = {(_stepped(w * height / width), w) for w in steps} | {
        (h, _stepped(h * width / height)) for h in steps
    }

    def cost(size: tuple[int, int]) -> float:
        distortion = abs(math.log(size[0] * width / (size[1] * height)))
        return distortion + abs(math.log(size[0] * size[1] / side_px**2)) / 4

    return min(sorted(sizes), key=cost)


def _stepped(size_px: float) -> int:
    return max(MIN_SIZE_PX, SIZE_STEP_PX * round(size_px / SIZE_STEP_PX))
