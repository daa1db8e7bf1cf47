"""A recipe: what one product is inspected by. One YAML file each, in the folder that `recipes_dir` names."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from engines.engine import EngineError
from engines.targets import check_combination
from pipeline.camera_config import Name, PositiveFloat, Section
from pipeline.explain import explain
from pipeline.yaml_text import YamlError, read_yaml

if TYPE_CHECKING:
    from pipeline.config import Config, EngineConfig

RecipeId = Annotated[int, Meta(ge=1, le=0xFFFF)]


class RecipeError(Exception):
    """A recipe cannot be used; the message says what, found, expected, do."""


class CameraSettings(Section, frozen=True, kw_only=True):
    """What a recipe may set of a camera; what it leaves out is as config.yaml has it.

    That goes for each name of `features` and `controls`, too.
    The keys are those of the camera's kind. Size and format stay: shared memory is laid out for them.
    """

    exposure_us: PositiveFloat | UnsetType = UNSET
    gain_db: float | UnsetType = UNSET
    gain: int | UnsetType = UNSET
    rate_hz: PositiveFloat | UnsetType = UNSET
    offset_x_px: int | UnsetType = UNSET
    offset_y_px: int | UnsetType = UNSET
    features: dict[str, bool | int | float | str] | UnsetType = UNSET
    controls: dict[str, int] | UnsetType = UNSET
    directory: str | UnsetType = UNSET
    seed: int | UnsetType = UNSET
    defect_rate: float | UnsetType = UNSET


class Recipe(Section, frozen=True, kw_only=True):
    """One product. A version is one content: files that change want another version.

    `model` is a folder with network, threshold and, if it has one, region of interest. `runtime`,
    `precision` and `deadline_ms` are those of config.yaml where they are null.
    """

    id: RecipeId
    title: Annotated[str, Meta(min_length=1, max_length=64)]
    version: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    model: Annotated[str, Meta(min_length=1)]
    runtime: Literal["onnxruntime", "openvino", "tensorrt", "tensorrt-rtx"] | None = None
    precision: Literal["fp32", "fp16", "int8"] | None = None
    deadline_ms: Annotated[float, Meta(ge=1, le=60_000)] | None = None
    cameras: dict[Name, CameraSettings] = {}  # noqa: RUF012 - msgspec copies it


class RecipeFile(msgspec.Struct, frozen=True, kw_only=True):
    """A recipe as it was read: `path`, and the hash of the very text that was parsed."""

    recipe: Recipe
    path: str
    text_sha256: str

    @property
    def name(self) -> str:
        """How messages name it."""
        return f"recipe {self.recipe.id} version {self.recipe.version}"


def read_recipe(path: Path) -> RecipeFile:
    """Read one file.

    Raises:
        RecipeError: it cannot be read, or a value is not allowed.
    """
    try:
        data = path.read_bytes()
        raw = read_yaml(data)
        _check_cameras(raw, path)
        recipe = msgspec.convert(raw, Recipe)
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read ({error.strerror}).") from error
    except YamlError as error:
        raise RecipeError(f"{path}: is not valid YAML: {error}") from error
    except msgspec.ValidationError as error:
        raise RecipeError(explain(str(error), raw, Recipe, str(path))) from error
    return RecipeFile(recipe=recipe, path=str(path), text_sha256=hashlib.sha256(data).hexdigest())


def _check_cameras(raw: Any, path: Path) -> None:
    """What is wrong within a camera's settings is said by its name, which the whole's message has not."""
    cameras = raw.get("cameras") if isinstance(raw, dict) else None
    for name, settings in cameras.items() if isinstance(cameras, dict) else ():
        try:
            msgspec.convert(settings, CameraSettings)
        except msgspec.ValidationError as error:
            where = f"{path}: cameras.{name}"
            raise RecipeError(explain(str(error), settings, CameraSettings, where)) from error


def engine_of(found: RecipeFile, base: EngineConfig) -> EngineConfig:
    """The engine of a recipe: its model, and what it leaves out as config.yaml has it.

    Raises:
        RecipeError: the runtime has no such precision.
    """
    recipe = found.recipe
    engine = msgspec.structs.replace(
        base,
        model=recipe.model,
        runtime=recipe.runtime or base.runtime,
        precision=recipe.precision or base.precision,
    )
    try:
        check_combination(engine.runtime, engine.precision)
    except EngineError as error:
        raise RecipeError(f"{found.path}: {error}") from error
    if engine.spinning and engine.runtime != "onnxruntime":
        raise RecipeError(
            f"{found.path}: found runtime {engine.runtime!r} where config.yaml has engine.spinning, expected "
            "'onnxruntime'."
        )
    return engine


def deadline_of(found: RecipeFile, config: Config) -> float:
    """Its deadline in ms; a shorter one than config.yaml's, by which gateways and PLCs wait.

    Raises:
        RecipeError: it is longer.
    """
    longest_ms = config.station.deadline_ms
    deadline_ms = found.recipe.deadline_ms or longest_ms
    if deadline_ms > longest_ms:
        raise RecipeError(
            f"{found.path}: deadline_ms: found {deadline_ms}, expected at most {longest_ms}, which is "
            "station.deadline_ms."
        )
    return deadline_ms
