"""model.json: where a model comes from, bound to the bytes of its model.onnx by their hash."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec import Meta

from engines.engine import EngineError, EngineInfo
from engines.records import read_file, read_record, write_record

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = "hlgfa.model/1.0"
FILE_NAME = "model.json"
ONNX_NAME = "model.onnx"

Pixels = Annotated[int, Meta(ge=1, le=65_536)]


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Provenance of one model.

    `input_*` is the raw camera image, `hr_*` and `lr_*` the two views, `map_*` the anomaly map. `taps` are
    the strides whose features are compared. `data_sha256` is the hash over names and contents of the parts.
    """

    schema: str = SCHEMA
    model_id: str
    model_sha256: str
    backbone: str
    taps: list[int]
    input_height_px: Pixels
    input_width_px: Pixels
    channels: Literal[1, 3]
    hr_height_px: Pixels
    hr_width_px: Pixels
    lr_height_px: Pixels
    lr_width_px: Pixels
    map_height: Pixels
    map_width: Pixels
    data_sha256: str
    data_parts: int
    seed: int
    training: dict[str, bool | int | float | str]
    versions: dict[str, str]
    created_utc: str

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(height, width) for one channel, (height, width, 3) for RGB."""
        size = (self.input_height_px, self.input_width_px)
        return size if self.channels == 1 else (*size, self.channels)


def save_manifest(manifest: Manifest, path: Path) -> None:
    """Write the record; a reader never sees half of it."""
    write_record(manifest, path)


def load_manifest(model_dir: Path) -> Manifest:
    """Read model.json and check that model.onnx is the one that it describes.

    Raises:
        EngineError: either file is missing or unreadable, or the hash of model.onnx is another.
    """
    manifest, _ = load_model(model_dir)
    return manifest


def load_model(model_dir: Path) -> tuple[Manifest, bytes]:
    """Read manifest and ONNX bytes together, so that what was checked is what is run.

    Raises:
        EngineError: as `load_manifest`.
    """
    do = f"Run: hlgfa train --data DIR --out {model_dir}"
    missing = "expected a trained model there"
    manifest = read_record(model_dir / FILE_NAME, Manifest, SCHEMA, EngineError, missing=missing, do=do)
    onnx = read_file(model_dir / ONNX_NAME, EngineError, missing=missing, do=do)
    found = hashlib.sha256(onnx).hexdigest()
    if found != manifest.model_sha256:
        raise EngineError(
            f"{model_dir / ONNX_NAME}: found sha256 {found[:12]}, expected {manifest.model_sha256[:12]} from "
            f"{FILE_NAME}; the file was changed or is incomplete. Copy the whole model folder again, or {do}"
        )
    return manifest, onnx


def engine_info(
    manifest: Manifest,
    *,
    runtime: str,
    version: str,
    device: str,
    precision: str = "fp32",
    memory: str | None = None,
    note: str | None = None,
) -> EngineInfo:
    """What an engine of this model says about itself."""
    return EngineInfo(
        model_id=manifest.model_id,
        model_sha256=manifest.model_sha256,
        runtime=runtime,
        runtime_version=version,
        precision=precision,
        device=device,
        height_px=manifest.input_height_px,
        width_px=manifest.input_width_px,
        channels=manifest.channels,
        map_height=manifest.map_height,
        map_width=manifest.map_width,
        memory=memory,
        note=note,
    )
