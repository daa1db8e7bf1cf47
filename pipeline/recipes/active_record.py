"""Which recipe was active last, and what each version has been: a file that survives a loss of power."""

from __future__ import annotations

from pathlib import Path

import msgspec

from engines.records import read_record, sync_directory, write_record
from pipeline.recipes.recipe import RecipeError, RecipeFile

SCHEMA = "hlgfa.active-recipe/1.0"
FILE_NAME = "active_recipe.json"


class ActiveRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The recipe to start with. `known` maps `id/version` to the sha256 that this version has."""

    schema: str = SCHEMA
    id: int
    version: int
    sha256: str
    operator: str
    changed_utc: str
    known: dict[str, str] = {}


def load_active(directory: Path) -> ActiveRecord | None:
    """The record of a station's journal folder; None before the first changeover.

    Raises:
        RecipeError: it cannot be read.
    """
    path = directory / FILE_NAME
    if not path.exists():
        return None
    do = "Remove it to start with engine.model of config.yaml, then change to the recipe"
    return read_record(path, ActiveRecord, SCHEMA, RecipeError, missing="it was there a moment ago", do=do)


def save_active(record: ActiveRecord, directory: Path) -> None:
    """Write the record, flushed to the disk: whole and lasting, or not at all.

    Raises:
        RecipeError: the disk does not take it.
    """
    path = directory / FILE_NAME
    try:
        write_record(record, path)
        sync_directory(directory)
    except OSError as error:
        raise RecipeError(f"{path}: cannot be written ({error.strerror}).") from error


def restore_active(record: ActiveRecord | None, directory: Path) -> None:
    """Put back what was there before the last `save_active`: None for no record.

    Raises:
        RecipeError: the disk does not take it.
    """
    if record is not None:
        save_active(record, directory)
        return
    path = directory / FILE_NAME
    try:
        path.unlink(missing_ok=True)
        sync_directory(directory)
    except OSError as error:
        raise RecipeError(f"{path}: cannot be removed ({error.strerror}).") from error


def next_record(
    last: ActiveRecord | None, found: RecipeFile, sha256: str, *, operator: str, changed_utc: str
) -> ActiveRecord:
    """The record after a changeover to this recipe."""
    recipe = found.recipe
    known = {} if last is None else last.known
    return ActiveRecord(
        id=recipe.id,
        version=recipe.version,
        sha256=sha256,
        operator=operator,
        changed_utc=changed_utc,
        known=known | {_key(found): sha256},
    )


def known_sha256(record: ActiveRecord | None, found: RecipeFile) -> str | None:
    """What this version was when it was verified here; None if it never was."""
    return None if record is None else record.known.get(_key(found))


def changed_error(found: RecipeFile, *, sha256: str, expected: str) -> str | None:
    """What to say of a version that is not what it was; None if it is."""
    if sha256 == expected:
        return None
    return (
        f"{found.name}: found files with sha256 {sha256[:12]}, expected {expected[:12]}, as they were when "
        "it was verified: a version is one content. Restore them, or raise `version` in "
        f"{found.path} and change to it."
    )


def check_same_version(record: ActiveRecord, found: RecipeFile) -> None:
    """Refuse to start with another version than the one that was active.

    Raises:
        RecipeError: the file says another version.
    """
    if found.recipe.version != record.version:
        raise RecipeError(
            f"{found.path}: found version {found.recipe.version} of recipe {record.id}, expected "
            f"{record.version}, which was active last. Restore it, or choose the new one: hlgfa recipe "
            f"select CONFIG {record.id}"
        )


def _key(found: RecipeFile) -> str:
    return f"{found.recipe.id}/{found.recipe.version}"
