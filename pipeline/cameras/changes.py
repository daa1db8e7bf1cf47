"""Which settings of a camera differ, and whether a device that runs may be given them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from pipeline.camera_config import CameraConfig


def live_changes(before: CameraConfig, config: CameraConfig, live: AbstractSet[str]) -> set[str] | None:
    """Keys that differ, None if the camera has to be opened again for one of them.

    A device goes on with what it is not told: a key that is null now, or a name that a mapping has no more,
    wants the device as it is when opened. So does every key that is not one of `live`.
    """
    old, new = msgspec.structs.asdict(before), msgspec.structs.asdict(config)
    changed = {key for key in new if new[key] != old[key]}
    if not changed <= live or any(_left_out(old[key], new[key]) for key in changed):
        return None
    return changed


def _left_out(old: object, new: object) -> bool:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return not old.keys() <= new.keys()
    return new is None
