"""Names, types and shapes at the border of an engine, checked the same way for every runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from engines.engine import EngineError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from engines.manifest import Manifest

INPUT = "image"
MAP = "anomaly_map"
SCORE = "score"

Signature = dict[str, tuple[str, tuple[int, ...]]]
"""Tensor name -> (type, shape), types as NumPy names them."""


def expected_signature(manifest: Manifest) -> Signature:
    """What the graph must take and give."""
    return {
        INPUT: ("uint8", manifest.input_shape),
        MAP: ("float32", (manifest.map_height, manifest.map_width)),
        SCORE: ("float32", (1,)),
    }


def check_signature(found: Signature, manifest: Manifest, *, where: str) -> None:
    """Refuse a graph that is not the one that the manifest describes.

    Raises:
        EngineError: a tensor is missing, or its type or shape is another.
    """
    for name, expected in expected_signature(manifest).items():
        if found.get(name) != expected:
            raise EngineError(
                f"{where}: tensor {name!r}: found {found.get(name, 'none')}, expected {expected}. "
                "Export the model again with: hlgfa train"
            )


def check_image(image: NDArray[np.uint8], shape: tuple[int, ...]) -> None:
    """Refuse an image that is not exactly the engine's input.

    Raises:
        EngineError: type, shape or memory layout is another.
    """
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.shape != shape:
        found = f"{getattr(image, 'dtype', type(image).__name__)} {getattr(image, 'shape', '')}".strip()
        raise EngineError(
            f"tensor {INPUT!r}: found {found}, expected uint8 {shape}. Set the camera to the size and pixel "
            "format that the model was trained on, or train for this camera: hlgfa train --input HxW"
        )
    if not image.flags.c_contiguous:
        raise EngineError(f"tensor {INPUT!r}: found strides {image.strides}, expected C-contiguous memory.")
