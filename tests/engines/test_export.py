import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from engines.export import export_onnx
from engines.geometry import Geometry
from engines.hlgfa import Hlgfa, NetworkSettings

# Nothing that TensorRT does not parse: no antialiased Resize, no NonZero, no TopK, no Loop.
OPERATORS = {
    *("Add", "AveragePool", "Cast", "Clip", "Concat", "Conv", "Div", "Exp", "Gather", "MatMul", "MaxPool"),
    *("Mul", "Neg"),
    *(
        "Pad",
        "Pow",
        "ReduceMax",
        "ReduceMean",
        "ReduceSum",
        "Relu",
        "Reshape",
        "Resize",
        "Sigmoid",
        "Slice",
        "Split",
    ),
    *("Sqrt", "Sub", "Transpose", "Unsqueeze", "Squeeze", "Log", "Max", "Min", "Abs"),
}


@pytest.fixture(scope="module", params=[1, 3], ids=["grey", "colour"])
def network(request: pytest.FixtureRequest) -> Hlgfa:
    torch.manual_seed(0)
    return Hlgfa(Geometry(input_px=(75, 110), hr_px=(64, 64), channels=request.param), NetworkSettings())


@pytest.fixture(scope="module")
def data(network: Hlgfa) -> bytes:
    return export_onnx(network)


def test_the_graph_gives_what_torch_gives(network: Hlgfa, data: bytes) -> None:
    shape = (75, 110) if network.geometry.channels == 1 else (75, 110, 3)
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
    anomaly_map, score = session.run(["anomaly_map", "score"], {"image": image})
    with torch.no_grad():
        expected_map, expected_score = network(torch.from_numpy(image))
    np.testing.assert_allclose(anomaly_map, expected_map.numpy(), atol=1e-3, rtol=1e-4)
    np.testing.assert_allclose(score, expected_score.numpy(), atol=1e-3, rtol=1e-4)


def test_shapes_are_static_and_the_cast_comes_first(network: Hlgfa, data: bytes) -> None:
    graph = onnx.load_from_string(data).graph
    for value in (*graph.input, *graph.output):
        assert all(dim.dim_value > 0 for dim in value.type.tensor_type.shape.dim)
    assert [node.op_type for node in graph.node if "image" in node.input] == ["Cast"]


def test_only_operators_that_every_runtime_parses(data: bytes) -> None:
    graph = onnx.load_from_string(data).graph
    assert {node.op_type for node in graph.node} <= OPERATORS
    for node in graph.node:
        assert not any(a.name == "antialias" and a.i for a in node.attribute)


def test_the_backbone_is_stored_once(data: bytes) -> None:
    graph = onnx.load_from_string(data).graph
    weights = [i.raw_data for i in graph.initializer if len(i.raw_data) > 4096 and "backbone" in i.name]
    assert len(weights) > 30
    assert len(weights) == len(set(weights))


def test_nothing_of_the_exporting_machine_is_in_it(data: bytes) -> None:
    model = onnx.load_from_string(data)
    assert not model.metadata_props
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)
    assert b".py" not in data


def test_exporting_twice_gives_the_same_bytes(network: Hlgfa, data: bytes) -> None:
    if network.geometry.channels == 1:  # seconds of tracing each, and no difference in colour
        assert export_onnx(network) == data
