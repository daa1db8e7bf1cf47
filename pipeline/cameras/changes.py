"""Which settings of a camera differ, and whether a device that runs may be given them. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from pipeline.camera_config import CameraConfig


def live_changes(before: CameraConfig, config: CameraConfig, live: AbstractSet[str]) -> set[str] | None:
    """Keys that differ, None if one of them is not in `live`: the camera has to be opened again for that."""
    old, new = msgspec.structs.asdict(before), msgspec.structs.asdict(config)
    changed = {key for key in new if new[key] != old[key]}
    return changed if changed <= live else None
