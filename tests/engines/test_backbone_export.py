"""Every backbone as ONNX through the exporter that models take."""

from typing import cast

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from torch import Tensor, nn

from engines.backbone import Backbone, open_backbone
from engines.efficientnet_lite import load_weights
from engines.export import export_onnx
from engines.geometry import Geometry
from engines.hlgfa import Hlgfa
from support.timm_on_cpu import import_timm

TAPS = (8, 16, 32)
PARSED = {"Cast", "Add", "Clip", "Concat", "Conv", "Div", "MaxPool", "Mul", "Pad", "ReduceMax", "ReduceMean"}
PARSED |= {"Relu", "Reshape", "Resize", "Sub", "Transpose", "Unsqueeze", "Gather", "Squeeze"}


class MeanOfFeatures(nn.Module):
    """Enough around a backbone to have the inputs and outputs of a model."""

    def __init__(self, backbone: Backbone, geometry: Geometry) -> None:
        super().__init__()
        self.backbone, self.geometry = backbone, geometry

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        x = image.float()
        x = x[None, None] if image.ndim == 2 else x.permute(2, 0, 1)[None]
        maps = [f.mean(dim=1, keepdim=True) for f in self.backbone(x)]
        size = [side // TAPS[0] for side in self.geometry.input_px]
        same = [nn.functional.interpolate(m, size=size, mode="bilinear") for m in maps]
        anomaly_map = torch.cat(same, dim=1).mean(dim=1)[0]
        return anomaly_map, anomaly_map.amax(dim=(0, 1)).reshape(1)


@pytest.mark.parametrize(
    ("name", "channels"),
    [("efficientnet_lite0", 1), ("efficientnet_lite1", 1), ("efficientnet_lite2", 3), ("timm:resnet18", 1)],
)
def test_the_graph_gives_what_torch_gives(name: str, channels: int) -> None:
    if name.startswith("timm:"):
        timm = import_timm()
        torch.manual_seed(0)
        weights = timm.create_model("resnet18", pretrained=False).state_dict()
    else:
        weights = load_weights(name)
    geometry = Geometry(input_px=(64, 128), hr_px=(64, 128), channels=channels)
    backbone = open_backbone(name, TAPS, channels=channels, weights=weights)
    module = MeanOfFeatures(backbone, geometry).eval()
    data = export_onnx(cast("Hlgfa", module))
    shape = (64, 128) if channels == 1 else (64, 128, 3)
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
    anomaly_map, score = session.run(["anomaly_map", "score"], {"image": image})
    with torch.no_grad():
        expected_map, expected_score = module(torch.from_numpy(image))
    np.testing.assert_allclose(anomaly_map, expected_map.numpy(), atol=1e-3, rtol=1e-4)
    np.testing.assert_allclose(score, expected_score.numpy(), atol=1e-3, rtol=1e-4)
    assert {node.op_type for node in onnx.load_from_string(data).graph.node} <= PARSED
