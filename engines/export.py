"""Export of a fitted network as one ONNX file: static shapes, no external data, the same bytes every time."""

from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING

import torch

from engines.tensors import INPUT, MAP, SCORE

if TYPE_CHECKING:
    from onnx import ModelProto

    from engines.hlgfa import Hlgfa

OPSET = 18


def export_onnx(network: Hlgfa) -> bytes:
    """The network as ONNX bytes: `image` uint8 in, `anomaly_map` (h, w) and `score` (1,) float32 out."""
    height, width = network.geometry.input_px
    shape = (height, width) if network.geometry.channels == 1 else (height, width, 3)
    image = torch.zeros(shape, dtype=torch.uint8)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own, about itself
        program = torch.onnx.export(
            network.eval(),
            (image,),
            dynamo=True,
            external_data=False,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=[MAP, SCORE],
            verbose=False,
        )
    assert program is not None
    return _stripped(program.model_proto)


def _stripped(model: ModelProto) -> bytes:
    """Without the exporter's notes: they hold source paths of the machine that exported."""
    import onnx

    graph = model.graph
    model.doc_string = graph.doc_string = ""
    values = (*graph.input, *graph.output, *graph.value_info, *graph.initializer)
    for item in (model, graph, *graph.node, *values):
        item.doc_string = ""
        del item.metadata_props[:]
    onnx.checker.check_model(model)
    result: bytes = model.SerializeToString(deterministic=True)
    return result
