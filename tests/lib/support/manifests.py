"""The manifest of a model that nobody trained."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from engines.geometry import Geometry
from engines.manifest import Manifest


def make_manifest(data: bytes, geometry: Geometry, **fields: Any) -> Manifest:
    """Of the bytes of a model.onnx; `fields` take the place of what the geometry says or is made up here."""
    made = Manifest(
        model_id="made-up",
        model_sha256=hashlib.sha256(data).hexdigest(),
        backbone="efficientnet_lite0",
        taps=[8, 16],
        input_height_px=geometry.input_px[0],
        input_width_px=geometry.input_px[1],
        channels=3 if geometry.channels == 3 else 1,
        hr_height_px=geometry.hr_px[0],
        hr_width_px=geometry.hr_px[1],
        lr_height_px=geometry.lr_px[0],
        lr_width_px=geometry.lr_px[1],
        map_height=geometry.map_shape[0],
        map_width=geometry.map_shape[1],
        data_sha256="0" * 64,
        data_parts=10,
        seed=0,
        training={},
        versions={},
        created_utc="2026-01-01T00:00:00+00:00",
    )
    return msgspec.structs.replace(made, **fields)
