"""Small real networks, exported once a session, as model folders."""

from __future__ import annotations

import functools
import hashlib
from typing import TYPE_CHECKING

import torch

from calibration.record import FILE_NAME as CALIBRATION_NAME
from calibration.record import save_calibration
from engines.export import export_onnx
from engines.geometry import Geometry
from engines.hlgfa import Hlgfa, NetworkSettings
from engines.level import Term
from engines.manifest import FILE_NAME, ONNX_NAME, Manifest, save_manifest
from engines.whitening import Whitening
from support.tiny_model import make_calibration

if TYPE_CHECKING:
    from pathlib import Path

SIZE = (64, 96)


@functools.cache
def network_onnx(channels: int = 1, *, positions: bool = False) -> bytes:
    """An untrained network of the default form; `positions` gives each position a covariance of its own."""
    torch.manual_seed(0)
    network = Hlgfa(Geometry(input_px=SIZE, hr_px=(64, 96), channels=channels), NetworkSettings())
    terms = [module for module in network.modules() if isinstance(module, Term)]
    for number, term in enumerate(terms):  # a gain of one would be folded away, equal ones would be shared
        term.offset.fill_(0.5 + 0.01 * number)
        term.gain.fill_(1.5 + 0.01 * number)
    if positions:
        for module in network.modules():
            if isinstance(module, Whitening):
                channels = module.root.shape[0]
                shape = {40: (8, 12), 112: (4, 6)}.get(channels)
                if shape is not None:
                    roots = module.root.expand(shape[0] * shape[1], -1, -1)
                    module.set_positions(torch.zeros(1, channels, *shape), roots, 1)
    return export_onnx(network)


def write_network(folder: Path, *, threshold: float = 5.0) -> Path:
    """A calibrated model folder of `network_onnx`."""
    folder.mkdir(parents=True, exist_ok=True)
    data = network_onnx()
    (folder / ONNX_NAME).write_bytes(data)
    sha256 = hashlib.sha256(data).hexdigest()
    manifest = Manifest(
        model_id=folder.name,
        model_sha256=sha256,
        backbone="efficientnet_lite0",
        taps=[8, 16],
        input_height_px=SIZE[0],
        input_width_px=SIZE[1],
        channels=1,
        hr_height_px=64,
        hr_width_px=96,
        lr_height_px=32,
        lr_width_px=48,
        map_height=16,
        map_width=24,
        data_sha256="0" * 64,
        data_parts=10,
        seed=0,
        training={},
        versions={},
        created_utc="2026-01-01T00:00:00+00:00",
    )
    save_manifest(manifest, folder / FILE_NAME)
    save_calibration(make_calibration(sha256, threshold=threshold), folder / CALIBRATION_NAME)
    return folder
