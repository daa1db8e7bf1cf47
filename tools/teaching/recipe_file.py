"""Step 6 of `hlgfa teach`: the recipe file, checked before it is on the shelf."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import yaml

from engines.records import replace_flushed, sync_directory
from pipeline.config import ConfigError, parse_config
from pipeline.preflight import check_plan
from pipeline.recipes.plan import make_plan
from pipeline.recipes.recipe import CameraSettings, RecipeError, RecipeFile, read_recipe
from pipeline.recipes.shelf import RecipeShelf
from pipeline.yaml_text import read_yaml

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipeline.camera_config import CameraConfig
    from pipeline.config import Config

SETTINGS = tuple(field.name for field in msgspec.structs.fields(CameraSettings))


def existing_recipe(config: Config, number: int) -> RecipeFile | None:
    """The recipe with this id, None if there is none.

    Raises:
        RecipeError: the folder of recipes cannot be read, or a file in it cannot be used.
    """
    shelf = RecipeShelf(Path(config.recipes_dir or ""))
    usable, problems = shelf.look()
    if problems:
        raise RecipeError(f"{shelf.directory}: expected recipes that can be used: {problems[0]}")
    return next((found for found in usable if found.recipe.id == number), None)


def recipe_text(
    config: Config, *, number: int, title: str, version: int, model: Path, notes: Iterable[str]
) -> str:
    """A recipe with everything as config.yaml has it now, so that a later change there does not change it.

    `notes` are lines for people at its head.
    """
    cameras = {camera.name: camera_settings(camera) for camera in config.cameras}
    raw = {
        "id": number,
        "title": title,
        "version": version,
        "model": str(model),
        "runtime": config.engine.runtime,
        "precision": config.engine.precision,
        "deadline_ms": config.station.deadline_ms,
        "cameras": {name: settings for name, settings in cameras.items() if settings},
    }
    head = "".join(f"# {line}\n" for line in ("Written by hlgfa teach.", *notes))
    return head + yaml.safe_dump(raw, sort_keys=False, allow_unicode=True)


def camera_settings(camera: CameraConfig) -> dict[str, Any]:
    """What a recipe may set of a camera, as it is now; what is left to the device stays left to it."""
    raw = msgspec.to_builtins(camera)
    return {key: raw[key] for key in SETTINGS if raw.get(key) not in (None, {})}


def check_recipe(path: Path, config: Config) -> list[str]:
    """Names of the checks that the recipe has passed.

    Raises:
        RecipeError: the first thing that is wrong.
    """
    found = read_recipe(path)
    plan = make_plan(found, config, changes=0, record=None)
    findings = list(check_plan(plan, config))
    for finding in findings:
        if finding.error is not None:
            raise RecipeError(f"{path}: {finding.what}: {finding.error}")
    return [finding.what for finding in findings]


def shelve(draft: Path, place: Path) -> str:
    """Put the checked draft on the shelf, whole or not at all; returns the hash of its text."""
    replace_flushed(draft.read_bytes(), place)
    sync_directory(place.parent)
    return read_recipe(place).text_sha256


def with_recipes_dir(text: str, directory: str, *, origin: str) -> str:
    """config.yaml with `recipes_dir` set and every other line as it was.

    Raises:
        ConfigError: it cannot be used with that.
    """
    line = f"recipes_dir: {directory}"
    changed, count = re.subn(r"^recipes_dir:[^\n]*", line, text, count=1, flags=re.M)
    if count == 0:
        changed = text.rstrip("\n") + f"\n\n{line}\n"
    if parse_config(read_yaml(changed.encode()), origin=origin).recipes_dir != directory:
        raise ConfigError(f"{origin}: cannot be given {line!r} by a program. Write it there.")
    return changed
