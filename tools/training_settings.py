"""Settings of a training: those of a method, changed by a YAML file, changed by options of the command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import typer

from calibration.fit import FitSettings
from calibration.record import CalibrationError
from engines.hlgfa import PAPER
from pipeline.explain import explain
from pipeline.yaml_text import YamlError, read_yaml

if TYPE_CHECKING:
    from pathlib import Path

METHODS = {"hlgfa": FitSettings(), "paper": FitSettings(network=PAPER)}


def training_settings(
    method: str,
    file: Path | None,
    *,
    seed: int | None = None,
    steps: int | None = None,
    backbone: str | None = None,
    memory_gib: float | None = None,
) -> FitSettings:
    """Settings of a method, with the keys of `file` in their place, and options that are not None over both.

    Raises:
        CalibrationError: the file cannot be read, has a key that there is none of, or a value out of range.
        typer.BadParameter: the method is unknown.
    """
    if method not in METHODS:
        raise typer.BadParameter(f"--method: found {method!r}, expected {' or '.join(METHODS)}.")
    settings = METHODS[method]
    if file is not None:
        settings = _changed(settings, file)
    given = {"seed": seed, "memory_gib": memory_gib}
    settings = msgspec.structs.replace(settings, **{k: v for k, v in given.items() if v is not None})
    network, schedule = settings.network, settings.schedule
    if backbone is not None:
        network = msgspec.structs.replace(network, backbone=backbone)
    if steps is not None:
        schedule = msgspec.structs.replace(schedule, steps=max(steps, 1))
    if steps == 0:
        network = msgspec.structs.replace(
            network, guidance=msgspec.structs.replace(network.guidance, enabled=False)
        )
    return msgspec.structs.replace(settings, network=network, schedule=schedule)


def _changed(settings: FitSettings, file: Path) -> FitSettings:
    try:
        changes = read_yaml(file.read_bytes())
    except OSError as error:
        raise CalibrationError(f"{file}: cannot be read ({error.strerror}). Name a YAML file.") from error
    except YamlError as error:
        raise CalibrationError(f"{file}: is not valid YAML: {error}") from error
    raw = _merged(msgspec.to_builtins(settings), {} if changes is None else changes)
    try:
        return msgspec.convert(raw, FitSettings)
    except msgspec.ValidationError as error:
        raise CalibrationError(explain(str(error), raw, FitSettings, str(file))) from error


def _merged(base: Any, changes: Any) -> Any:
    """`changes` over `base`, section by section; what is no section is replaced whole."""
    if not isinstance(base, dict) or not isinstance(changes, dict):
        return changes
    return {**base, **{key: _merged(base.get(key), value) for key, value in changes.items()}}
