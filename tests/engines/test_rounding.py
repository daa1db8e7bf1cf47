"""FP16 on a CPU: overflow and rounding must be seen, as on a GPU."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from engines.rounding import rounded


def graph() -> onnx.ModelProto:
    """x -> FP16, times 70, divided by 70 again, -> FP32."""
    nodes = [
        helper.make_node("Cast", ["x"], ["h"], "in", to=TensorProto.FLOAT16),
        helper.make_node("Mul", ["h", "k"], ["m"], "times"),
        helper.make_node("Div", ["m", "k"], ["n"], "divided"),
        helper.make_node("Cast", ["n"], ["y"], "out", to=TensorProto.FLOAT),
    ]
    border = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [4]) for name in ("x", "y")]
    weights = [numpy_helper.from_array(np.full(1, 70, np.float16), "k")]
    made = helper.make_graph(nodes, "half", border[:1], border[1:], weights)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def run(model: onnx.ModelProto, x: np.ndarray, level: ort.GraphOptimizationLevel) -> np.ndarray:
    options = ort.SessionOptions()
    options.graph_optimization_level = level
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    found: np.ndarray = session.run(None, {"x": x})[0]
    return found


LEVELS = [ort.GraphOptimizationLevel.ORT_DISABLE_ALL, ort.GraphOptimizationLevel.ORT_ENABLE_ALL]
X = np.array([1000, 1 + 1e-4, 3, 1e-9], np.float32)


@pytest.mark.parametrize("level", LEVELS)
def test_70000_is_infinite_and_small_differences_are_gone(level: ort.GraphOptimizationLevel) -> None:
    np.testing.assert_array_equal(run(rounded(graph()), X, level), [np.inf, 1, 3, 0])


@pytest.mark.parametrize("level", LEVELS)
def test_the_runtime_alone_would_not_show_it(level: ort.GraphOptimizationLevel) -> None:
    """Why `rounded` exists; when this fails it may go."""
    assert run(graph(), X, level)[0] == pytest.approx(1000, rel=1e-3)


def test_every_tensor_has_the_bits_of_numpy() -> None:
    x = np.random.default_rng(0).normal(0, 30, 4).astype(np.float32)
    half = x.astype(np.float16)
    expected = ((half * np.float16(70)).astype(np.float16) / np.float16(70)).astype(np.float32)
    np.testing.assert_array_equal(run(rounded(graph()), x, LEVELS[1]), expected)
