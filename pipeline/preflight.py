"""What can be checked of a station without starting it: files, model, calibration, memory, addresses."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import zmq

from calibration.calibrated import load_calibrated
from calibration.record import CalibrationError
from engines.affinity import check_cores
from engines.engine import EngineError
from engines.manifest import load_manifest
from engines.sidecar import load_sidecar
from engines.targets import needs_build
from pipeline.access.allow_list import AllowList
from pipeline.access.keys import load_station_keys
from pipeline.camera_config import FolderCameraConfig, VideoCameraConfig
from pipeline.config import ConfigError
from pipeline.frame import CHANNELS, frame_bytes
from pipeline.history.journal_files import being_written, journal_files
from pipeline.recipes.plan import make_plan, plan_start
from pipeline.recipes.recipe import RecipeError
from pipeline.recipes.shelf import RecipeShelf
from pipeline.ring import SHARED_MEMORY, page_bytes
from pipeline.sockets import bind_socket

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from calibration.calibrated import Calibrated
    from pipeline.access.keys import StationKeys
    from pipeline.camera_config import CameraConfig
    from pipeline.config import Config
    from pipeline.recipes.plan import Plan
    from pipeline.recipes.recipe import RecipeFile


class Finding(msgspec.Struct, frozen=True):
    """One check: what was looked at, and what is wrong with it, None if nothing is."""

    what: str
    error: str | None


def check_station(config: Config) -> Iterator[Finding]:
    """Every check in turn; the cameras themselves and the engine's speed only a start can show.

    Where a station with the same journal runs, what it has taken is nothing wrong.
    """
    runs = _runs(Path(config.station.journal_dir))
    yield from _check_model(config)
    for camera in config.cameras:
        if isinstance(camera, FolderCameraConfig):
            found = Path(camera.directory).is_dir()
            error = None if found else f"found no directory {camera.directory}, expected one with images."
            yield Finding(f"camera {camera.name}", error)
        if isinstance(camera, VideoCameraConfig) and not camera.is_stream:
            error = None if Path(camera.url).is_file() else f"found no file {camera.url}, expected a video."
            yield Finding(f"camera {camera.name}", error)
    yield from _check_recipes(config)
    if not runs:
        yield _check_memory(config)
    yield from _check_sockets(config, runs=runs)
    yield _check_writable("journal", Path(config.station.journal_dir), "station.journal_dir")
    if config.archive is not None:
        yield _check_writable("archive", Path(config.archive.directory), "archive.directory")


def _runs(journal_dir: Path) -> bool:
    try:
        return any(being_written(file.path) for file in journal_files(journal_dir))
    except OSError:
        return False  # no journal yet, or none that may be read: said by its own check


def check_plan(plan: Plan, config: Config) -> Iterator[Finding]:
    """What can be checked of a recipe without changing to it: its model, engine, threshold and sizes."""
    cameras = list(plan.cameras.values())
    yield from _check_model(msgspec.structs.replace(config, engine=plan.setup.engine, cameras=cameras))


def _check_recipes(config: Config) -> Iterator[Finding]:
    """Files of recipes and whether they fit this station; their models only a changeover loads."""
    if config.recipes_dir is None:
        return
    try:
        plan_start(config)
        found, problems = RecipeShelf(Path(config.recipes_dir)).look()
    except (ConfigError, RecipeError) as error:
        yield Finding("recipes", str(error))
        return
    for problem in problems:
        yield Finding("recipes", problem)
    for item in found:
        yield _recipe_finding(item, config)


def _recipe_finding(item: RecipeFile, config: Config) -> Finding:
    try:
        make_plan(item, config, changes=0, record=None)
    except RecipeError as error:
        return Finding(item.name, str(error))
    return Finding(f"{item.name}, {item.recipe.title}", None)


def size_mismatch(
    camera: CameraConfig, *, model: str, width_px: int, height_px: int, channels: int
) -> str | None:
    """What about a model's input does not fit a camera, None if it fits."""
    if (camera.width_px, camera.height_px, CHANNELS[camera.pixel_format]) == (width_px, height_px, channels):
        return None
    return (
        f"model {model}: found an input of {width_px}x{height_px} with {channels} channels, camera "
        f"{camera.name} gives {camera.width_px}x{camera.height_px} {camera.pixel_format}. Train the model "
        f"with --input {camera.height_px}x{camera.width_px}, or correct the camera in config.yaml."
    )


def _check_model(config: Config) -> Iterator[Finding]:
    directory = Path(config.engine.model)
    try:
        manifest = load_manifest(directory)
    except EngineError as error:
        yield Finding("model", str(error))
        return
    yield Finding(f"model {manifest.model_id}", None)
    yield from _check_engine(config, manifest.model_sha256)
    for camera in config.cameras:
        error_text = size_mismatch(
            camera,
            model=manifest.model_id,
            width_px=manifest.input_width_px,
            height_px=manifest.input_height_px,
            channels=manifest.channels,
        )
        yield Finding(f"image size of camera {camera.name}", error_text)
    try:
        found = load_calibrated(
            directory,
            model_sha256=manifest.model_sha256,
            size_px=(manifest.input_height_px, manifest.input_width_px),
            map_shape=(manifest.map_height, manifest.map_width),
        )
    except CalibrationError as error:
        yield Finding("calibration", str(error))
    else:
        yield Finding("calibration", None)
        yield Finding(f"region of interest: {_inspected(found)}", None)


def _check_engine(config: Config, model_sha256: str) -> Iterator[Finding]:
    """Files of an engine that was built; whether it runs and computes the same only a start can show."""
    engine = config.engine
    if engine.cores is not None:
        cores = engine.cores
        yield _finding(f"cores {', '.join(map(str, cores))}", lambda: check_cores(cores))
    if needs_build(engine.runtime, engine.precision):
        target, precision = engine.runtime, engine.precision
        yield _finding(
            f"engine {target} {precision}",
            lambda: load_sidecar(
                Path(engine.model), target=target, precision=precision, model_sha256=model_sha256
            ),
        )


def _finding(what: str, check: Callable[[], object]) -> Finding:
    try:
        check()
    except EngineError as error:
        return Finding(what, str(error))
    return Finding(what, None)


def _inspected(found: Calibrated) -> str:
    if found.area is None or found.inspected is None:
        return "none, the whole image is inspected"
    return f"{found.inspected.mean():.1%} of the anomaly map is inspected (roi {found.area.sha256[:12]})"


def _check_memory(config: Config) -> Finding:
    slots = config.ring.slots
    sizes = [frame_bytes(c.width_px, c.height_px, c.pixel_format) for c in config.cameras]
    needed = sum(slots * page_bytes(size) for size in sizes)
    stat = os.statvfs(SHARED_MEMORY)
    free = stat.f_bavail * stat.f_frsize
    error = None
    if free < needed:
        error = f"found {free / 2**20:.1f} MiB free in {SHARED_MEMORY}, expected {needed / 2**20:.1f} MiB."
    return Finding("shared memory", error)


def _check_sockets(config: Config, *, runs: bool) -> Iterator[Finding]:
    """Addresses and who may connect; nothing of them if the station's own keys cannot be used."""
    keys = None
    if config.security is not None:
        try:
            keys = load_station_keys(config.security)
        except ConfigError as error:
            yield Finding("security", str(error))
            return
        yield from _check_clients(keys)
    for name in ("results", "heatmaps", "replay"):
        yield _check_address(name, getattr(config.sockets, name), keys, runs=runs)


def _check_clients(keys: StationKeys) -> Iterator[Finding]:
    allowed = AllowList(keys.allowed)
    names = sorted(allowed.names(0).values())
    yield Finding(f"clients that may connect: {', '.join(names) or 'none'}", None)
    for problem in allowed.problems:
        yield Finding("clients", problem)


def _check_address(name: str, endpoint: str, keys: StationKeys | None, *, runs: bool) -> Finding:
    pair = None if keys is None else keys.pair
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    try:
        bind_socket(context, zmq.XPUB, endpoint, what=name, queue_messages=1, keys=pair).close()
    except ConfigError as error:
        if runs:
            return Finding(f"sockets.{name}: taken while a station with this journal runs", None)
        return Finding(f"sockets.{name}", str(error))
    finally:
        context.destroy(linger=0)
    return Finding(f"sockets.{name}", None)


def _check_writable(what: str, directory: Path, key: str) -> Finding:
    existing = directory
    while not existing.exists():
        existing = existing.parent
    writable = existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)
    error = None if writable else f"{existing} cannot be written. Correct {key}."
    return Finding(what, error)
