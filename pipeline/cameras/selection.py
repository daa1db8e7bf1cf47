"""Which of the devices that were found the configuration means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.cameras.camera import CameraError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline.cameras.camera import FoundCamera


def select(label: str, wanted: Mapping[str, str | None], found: Sequence[FoundCamera]) -> int:
    """Index of the one device that fits; `wanted` maps fields of `FoundCamera` to values, None fits any.

    Raises:
        CameraError: none or more than one fits; the message starts with `label` and lists what was found.
    """
    asked = {field: value for field, value in wanted.items() if value is not None}
    fitting = [
        index
        for index, device in enumerate(found)
        if all(getattr(device, field) == value for field, value in asked.items())
    ]
    if len(fitting) == 1:
        return fitting[0]
    choice = " or ".join(f"`{field}`" for field in wanted)
    keys = " and ".join(f"{field} {value!r}" for field, value in asked.items())
    raise CameraError(
        f"{label}: found {listed(found)}; expected exactly one"
        f"{' with ' + keys if keys else ''}. Check cable and power, or set {choice} to one that was "
        "found."
    )


def describe(device: FoundCamera) -> str:
    """A device by its model and what selects it."""
    fields = {"serial": device.serial, "user_id": device.user_id, "address": device.address}
    return f"{device.model} ({', '.join(f'{field} {value!r}' for field, value in fields.items() if value)})"


def listed(found: Sequence[FoundCamera]) -> str:
    """What was found, in one line."""
    notes = (f" {device.note}" if device.note else "" for device in found)
    return ", ".join(map("".join, zip(map(describe, found), notes, strict=True))) or "no camera"
