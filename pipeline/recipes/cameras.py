"""The cameras of a station as a recipe wants them; the same whatever recipe was in force before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from pipeline.camera_config import DeviceSection, V4l2CameraConfig
from pipeline.explain import explain
from pipeline.recipes.recipe import RecipeError, RecipeFile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.camera_config import CameraConfig

_BY_NAME = ("features", "controls")
"""Keys whose values are settings of the device by its own names."""


def cameras_of(found: RecipeFile, base: list[CameraConfig]) -> list[CameraConfig]:
    """Every camera of the station as this recipe wants it.

    A device keeps what it was told, so a recipe may set only what config.yaml gives a value: the recipes that
    leave it out have that one.

    Raises:
        RecipeError: it names a camera that is not there, a key or value that its kind does not have, or a
            setting that recipes without it would inherit.
    """
    names = [camera.name for camera in base]
    for name in found.recipe.cameras:
        if name not in names:
            raise RecipeError(f"{found.path}: cameras: found {name!r}, expected some of: {', '.join(names)}.")
    return [_camera_of(found, camera) for camera in base]


def _camera_of(found: RecipeFile, camera: CameraConfig) -> CameraConfig:
    settings = found.recipe.cameras.get(camera.name)
    if settings is None:
        return camera
    where = f"{found.path}: cameras.{camera.name}"
    raw: dict[str, Any] = msgspec.to_builtins(camera)
    asked: dict[str, Any] = msgspec.to_builtins(settings)
    if isinstance(camera, DeviceSection | V4l2CameraConfig):
        for key in _inherited(raw, asked):
            raise RecipeError(
                f"{where}: found {key}, which config.yaml does not set, expected a value there: a camera "
                f"keeps what it was told, so recipes without {key} would run with this one's. Add {key} to "
                "the camera in config.yaml, as those are to have it."
            )
    merged = {key: raw[key] | asked[key] for key in _BY_NAME if key in raw and key in asked}
    try:
        return msgspec.convert(raw | asked | merged, type(camera))
    except msgspec.ValidationError as error:
        raise RecipeError(explain(str(error), raw | asked, type(camera), where)) from error


def _inherited(raw: dict[str, Any], asked: dict[str, Any]) -> Iterator[str]:
    """What recipes without it would have from this one."""
    for key, value in asked.items():
        if key not in raw:
            continue  # not a key of this kind: refused with the others that it has
        if key in _BY_NAME:
            yield from (f"{key}.{name}" for name in value if name not in raw[key])
        elif raw[key] is None:
            yield key
