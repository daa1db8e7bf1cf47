"""The stand-in that computes our graphs by PyTorch, against ONNX Runtime, where there is no GPU."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from engines.half import to_half
from engines.load import open_engine
from engines.manifest import ONNX_NAME
from support.onnx_torch import OnnxTorch

DEMO = Path(__file__).parents[2] / "models" / "demo"


@pytest.mark.parametrize(("precision", "limit"), [("fp32", 1e-3), ("fp16", 0.1)])
def test_it_computes_the_graph_of_the_shipped_model(precision: str, limit: float) -> None:
    model = onnx.load(DEMO / ONNX_NAME)
    graph = model if precision == "fp32" else to_half(model, [])
    network = OnnxTorch(graph.SerializeToString(), "cpu")
    with open_engine(DEMO, runtime="onnxruntime", threads=1) as engine, torch.no_grad():
        size = (engine.info.height_px, engine.info.width_px)
        image = np.random.default_rng(0).integers(90, 110, size, np.uint8)
        expected = engine.infer(image)
        anomaly_map, score = network(torch.from_numpy(image))
    np.testing.assert_allclose(anomaly_map.numpy(), expected.anomaly_map, atol=limit)
    assert score.item() == pytest.approx(expected.score, abs=limit)
