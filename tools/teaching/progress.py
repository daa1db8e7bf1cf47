"""What a teaching wants and how far it has come: a small record in its folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from calibration.record import CalibrationError
from engines.records import read_record, sync_directory, write_record
from pipeline.recipes.recipe import RecipeError

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.recipes.recipe import RecipeFile

SCHEMA = "hlgfa.teaching/1.0"
FILE_NAME = "teach.json"
LASTING = ("recipe", "parts", "source", "camera")
"""What the collected parts depend on: another one of these is another teaching."""


class Wish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was asked for.

    `camera` is the section of config.yaml that the parts were taken with, `source` a recording or folder in
    its place. `exclude` are numbers of the contact sheet; with `keep` nothing else is left out.
    """

    recipe: int
    title: str
    parts: int
    camera: dict[str, Any]
    source: str | None = None
    exclude: tuple[int, ...] = ()
    keep: bool = False
    steps: int = 0
    size: str = "256"


class Teaching(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One teaching; what it has made besides lies in its place and is compared there.

    `version` is that of the recipe. `collected` are the SHA-256 of the image files in their order, None while
    they are being collected. `recipe_sha256` is that of the recipe's text, None before it was written.
    """

    schema: str = SCHEMA
    wish: Wish
    version: int
    collected: tuple[str, ...] | None = None
    recipe_sha256: str | None = None


def load_teaching(folder: Path) -> Teaching:
    """The record of a folder.

    Raises:
        CalibrationError: there is none, or it cannot be read.
    """
    missing = "expected what a stopped teaching left there"
    do = "Teach without --resume, or with --force in its place."
    return read_record(folder / FILE_NAME, Teaching, SCHEMA, CalibrationError, missing=missing, do=do)


def save_teaching(folder: Path, teaching: Teaching) -> None:
    """Write the record; what it says was collected is on the disk before it."""
    write_record(teaching, folder / FILE_NAME)
    sync_directory(folder)


def check_same_parts(folder: Path, before: Wish, now: Wish) -> None:
    """Refuse to go on where the parts that are there are not those that are asked for.

    Raises:
        CalibrationError: with what differs.
    """
    was, asked = msgspec.to_builtins(before), msgspec.to_builtins(now)
    other = [key for key in LASTING if was[key] != asked[key]]
    if "camera" in other:
        keys = sorted(was["camera"].keys() | asked["camera"].keys())
        changed = [key for key in keys if was["camera"].get(key) != asked["camera"].get(key)]
        other[other.index("camera")] = f"settings of the camera ({', '.join(changed)})"
    if other:
        raise CalibrationError(
            f"{folder}: found parts that were collected with another {', another '.join(other)}, expected "
            "the same. Give the same as then, or begin again with --force."
        )


def next_version(before: Teaching | None, wish: Wish, existing: RecipeFile | None, *, replace: bool) -> int:
    """The version that the recipe is to have: 1 for a new one, one more than what it replaces.

    Args:
        before: the teaching that is resumed, None for a new one.
        wish: what is asked for now.
        existing: the recipe with this id on the shelf.
        replace: whether it may be replaced.

    Raises:
        RecipeError: there is a recipe with this id that is not what this teaching wrote for this wish.
    """
    if existing is None:
        return 1 if before is None else before.version
    if before is not None and before.recipe_sha256 == existing.text_sha256 and before.wish == wish:
        return before.version
    if not replace:
        raise RecipeError(
            f"recipe {wish.recipe}: found it in {existing.path} ({existing.recipe.title}), expected an id "
            "that is free. Choose another --recipe, or add --replace, which makes it version "
            f"{existing.recipe.version + 1}."
        )
    version = existing.recipe.version + 1
    return version if before is None else max(version, before.version)
