"""Small real networks, exported once a session, as model folders."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import torch

from engines.export import export_onnx
from engines.geometry import Geometry
from engines.hlgfa import Hlgfa, NetworkSettings
from engines.level import Term
from engines.whitening import Whitening
from support.manifests import make_manifest
from support.tiny_model import write_model

if TYPE_CHECKING:
    from pathlib import Path

SIZE = (64, 96)


@functools.cache
def network_onnx(channels: int = 1, *, positions: bool = False) -> bytes:
    """An untrained network of the default form; `positions` gives each position a covariance of its own."""
    torch.manual_seed(0)
    network = Hlgfa(Geometry(input_px=SIZE, hr_px=SIZE, channels=channels), NetworkSettings())
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
    data = network_onnx()
    manifest = make_manifest(data, Geometry(input_px=SIZE, hr_px=SIZE), model_id=folder.name)
    return write_model(folder, data, manifest, threshold=threshold)
