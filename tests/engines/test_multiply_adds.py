import warnings

import onnx
import pytest
import torch
from onnx import TensorProto, helper

from engines.backbone import open_backbone
from engines.engine import EngineError
from engines.multiply_adds import multiply_adds


def _exported(model: torch.nn.Module, shape: tuple[int, ...]) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own, about itself
        program = torch.onnx.export(
            model.eval(), (torch.zeros(shape),), dynamo=True, external_data=False, verbose=False
        )
    assert program is not None
    data: bytes = program.model_proto.SerializeToString()
    return data


def test_a_convolution_counts_its_kernel_for_every_output_value() -> None:
    grouped = torch.nn.Conv2d(8, 16, 3, stride=2, padding=1, groups=4)
    assert multiply_adds(_exported(grouped, (1, 8, 10, 12))) == {"Conv": 16 * 5 * 6 * (8 // 4) * 9}


def test_products_count_their_inner_side() -> None:
    class Product(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = torch.nn.Linear(6, 5)
            self.register_buffer("matrix", torch.randn(7, 4, 6))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y: torch.Tensor = self.linear(torch.matmul(x, self.matrix)[0])
            return y

    counted = multiply_adds(_exported(Product(), (7, 3, 4)))
    assert counted == {"MatMul": 7 * 3 * 4 * 6, "Gemm": 3 * 6 * 5}


def test_the_backbone_counts_what_is_published() -> None:
    """EfficientNet-Lite0 at 224x224: 407 million with the head, which is not here."""
    network = open_backbone("efficientnet_lite0", (8, 16, 32), channels=3)
    counted = multiply_adds(_exported(network, (1, 3, 224, 224)))
    assert 330e6 < counted["Conv"] < 407e6


@pytest.mark.parametrize("data", [b"no model", b""])
def test_what_is_no_model_is_refused(data: bytes) -> None:
    with pytest.raises(EngineError, match=r"model\.onnx"):
        multiply_adds(data or _without_shape())


def _without_shape() -> bytes:
    node = helper.make_node("MatMul", ["a", "b"], ["c"], name="product")
    free = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", "n"]) for name in "abc"]
    graph = helper.make_graph([node], "g", free[:2], free[2:])
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    data: bytes = model.SerializeToString()
    return data
