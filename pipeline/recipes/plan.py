"""What a recipe means for this station: engine, cameras, deadline, before anything is touched."""

from __future__ import annotations

from pathlib import Path

import msgspec

from pipeline.camera_config import CameraConfig
from pipeline.config import Config, ConfigError, EngineConfig
from pipeline.recipes.active_record import (
    FILE_NAME,
    ActiveRecord,
    check_same_version,
    known_sha256,
    load_active,
)
from pipeline.recipes.cameras import cameras_of
from pipeline.recipes.recipe import RecipeError, RecipeFile, deadline_of, engine_of
from pipeline.recipes.shelf import RecipeShelf


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """What an inspection process is to load.

    `changes` counts the changeovers before it. `recipe_sha256` is what the recipe's files must have, None if
    that is not known yet.
    """

    engine: EngineConfig
    changes: int = 0
    recipe: RecipeFile | None = None
    recipe_sha256: str | None = None

    @property
    def number(self) -> int:
        """Id of the recipe, 0 for none."""
        return 0 if self.recipe is None else self.recipe.recipe.id


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """One recipe on this station; `cameras` are all of them, by name."""

    found: RecipeFile
    setup: Setup
    cameras: dict[str, CameraConfig]
    deadline_ms: float


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """What a station with recipes starts with; `plan` and `record` are None before the first changeover."""

    shelf: RecipeShelf
    plan: Plan | None
    record: ActiveRecord | None


def make_plan(found: RecipeFile, config: Config, *, changes: int, record: ActiveRecord | None) -> Plan:
    """Lay a recipe over config.yaml.

    Raises:
        RecipeError: it does not fit this station.
    """
    setup = Setup(
        engine=engine_of(found, config.engine),
        changes=changes,
        recipe=found,
        recipe_sha256=known_sha256(record, found),
    )
    cameras = {camera.name: camera for camera in cameras_of(found, config.cameras)}
    return Plan(found=found, setup=setup, cameras=cameras, deadline_ms=deadline_of(found, config))


def plan_start(config: Config) -> Start | None:
    """What the station starts with: the last active recipe; None where `recipes_dir` is null.

    Raises:
        ConfigError: the folder or the record cannot be read, or the last active recipe is not what it was.
    """
    if config.recipes_dir is None:
        return None
    shelf = RecipeShelf(Path(config.recipes_dir))
    try:
        shelf.look()
        record = load_active(Path(config.station.journal_dir))
        if record is None:
            return Start(shelf=shelf, plan=None, record=None)
        found = shelf.find(record.id)
        check_same_version(record, found)
        plan = make_plan(found, config, changes=0, record=record)
    except RecipeError as error:
        raise ConfigError(f"{error} (last active: {config.station.journal_dir}/{FILE_NAME})") from error
    return Start(shelf=shelf, plan=plan, record=record)


def as_started(config: Config, start: Start | None) -> Config:
    """The configuration with cameras and deadline of the recipe that the station starts with."""
    if start is None or start.plan is None:
        return config
    return _laid_over(config, start.plan)


def under_recipe(config: Config, number: int | None) -> Config:
    """The configuration of a station that knows this recipe alone: its engine, cameras and deadline.

    None: as config.yaml has them.

    Raises:
        ConfigError: `recipes_dir` is null.
        RecipeError: it is not there, or does not fit this station.
    """
    if number is None:
        return config
    if config.recipes_dir is None:
        raise ConfigError(
            f"recipes_dir: found null, expected the folder of recipe {number}. Set it in config.yaml, or "
            "leave --recipe out."
        )
    plan = make_plan(RecipeShelf(Path(config.recipes_dir)).find(number), config, changes=0, record=None)
    return msgspec.structs.replace(_laid_over(config, plan), engine=plan.setup.engine, recipes_dir=None)


def _laid_over(config: Config, plan: Plan) -> Config:
    station = msgspec.structs.replace(config.station, deadline_ms=plan.deadline_ms)
    return msgspec.structs.replace(config, station=station, cameras=list(plan.cameras.values()))


def setup_of(config: Config, start: Start | None) -> Setup:
    """What the inspection process loads first."""
    if start is None or start.plan is None:
        return Setup(engine=config.engine)
    return start.plan.setup
