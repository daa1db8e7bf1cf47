"""The simulated line: rendered metal parts, good and defective, deterministic by seed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pipeline.camera_config import SimulatedCameraConfig
from pipeline.cameras.belt import Belt
from pipeline.cameras.camera import CameraError, CameraInfo
from pipeline.cameras.paced import PacedCamera, Picture
from pipeline.cameras.part import render_part
from pipeline.cameras.part_layers import MIN_SIDE_PX

if TYPE_CHECKING:
    from pipeline.camera_config import CameraConfig


class SimulatedCamera(PacedCamera):
    """A camera that looks at rendered parts; the header's `truth` says what each part really is.

    Part n depends on (seed, n) only, never on the clock. For what happens to a late reader see
    `pipeline.cameras.belt`. The next part is rendered ahead of its time.

    Raises:
        CameraError: the configured image is too small to show a part.
    """

    def __init__(self, config: SimulatedCameraConfig, *, camera_epoch: int = 0) -> None:
        if min(config.width_px, config.height_px) < MIN_SIDE_PX:
            raise CameraError(
                f"Simulated camera {config.name}: found {config.width_px} x {config.height_px} px, expected "
                f"at least {MIN_SIDE_PX} x {MIN_SIDE_PX}. Set a larger width_px and height_px."
            )
        self._config = config
        info = CameraInfo(
            name=config.name,
            kind="simulated",
            vendor="HLGFA",
            model="rendered part",
            serial=f"seed-{config.seed}",
            width_px=config.width_px,
            height_px=config.height_px,
            pixel_format=config.pixel_format,
            simulated=True,
            paced=True,
        )
        super().__init__(
            info,
            Belt(config.trigger.source, config.rate_hz),
            self._render,
            camera_epoch=camera_epoch,
            encoder_counts=config.trigger.encoder_counts,
        )

    def adjust(self, config: CameraConfig) -> float | None:
        """Another `defect_rate` holds from the next part on; all else wants the camera opened again."""
        self._check_open()
        if not isinstance(config, SimulatedCameraConfig):
            return None
        if msgspec.structs.replace(config, defect_rate=self._config.defect_rate) != self._config:
            return None
        self._config = config
        self._make_anew()
        return 0.0

    def _render(self, index: int) -> Picture:
        config = self._config
        part = render_part(
            config.seed,
            index,
            width_px=config.width_px,
            height_px=config.height_px,
            pixel_format=config.pixel_format,
            defect_rate=config.defect_rate,
        )
        return Picture(part.pixels, config.pixel_format, truth=part.truth)
