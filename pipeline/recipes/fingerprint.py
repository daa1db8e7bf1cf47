"""One hash over everything that a recipe's verdicts depend on. Not for the station: it reads whole models."""

from __future__ import annotations

import hashlib
from pathlib import Path

from calibration.record import FILE_NAME as CALIBRATION_NAME
from calibration.roi import FILE_NAME as ROI_NAME
from engines.manifest import FILE_NAME as MANIFEST_NAME
from engines.manifest import ONNX_NAME
from engines.records import file_sha256
from pipeline.recipes.recipe import RecipeError

OPTIONAL = (ROI_NAME,)
NAMES = (ONNX_NAME, MANIFEST_NAME, CALIBRATION_NAME, ROI_NAME)


def file_hashes(recipe_path: Path, model_dir: Path) -> dict[str, str]:
    """SHA-256 of the recipe's text and of each file of its model; a model without a region has no roi.json.

    Raises:
        RecipeError: a file is missing or cannot be read.
    """
    paths = {"recipe": recipe_path} | {name: model_dir / name for name in NAMES}
    hashes = {}
    for name, path in paths.items():
        if name in OPTIONAL and not path.exists():
            continue
        try:
            hashes[name] = file_sha256(path)
        except OSError as error:
            raise RecipeError(
                f"{path}: cannot be read ({error.strerror}); {recipe_path} needs it."
            ) from error
    return hashes


def fingerprint(hashes: dict[str, str]) -> str:
    """The recipe's sha256: of the lines `name sha256`, sorted by name."""
    text = "".join(f"{name} {sha256}\n" for name, sha256 in sorted(hashes.items()))
    return hashlib.sha256(text.encode()).hexdigest()
