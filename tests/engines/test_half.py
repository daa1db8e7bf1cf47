"""The FP16 graph, its islands, and INT8 by Q/DQ, on the real network and on graphs made to lose the range."""

from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.transformers import float16

from engines.engine import EngineError
from engines.graph_runner import GraphRunner
from engines.half import to_half
from engines.islands import choose_half, groups_of
from engines.quantised import choose_quantised
from engines.rounding import rounded, rounded_nodes
from engines.selection import HEADROOM, Trial
from support.networks import SIZE, network_onnx


def quiet(phase: str, done: int, of: int) -> None:
    assert phase
    assert done <= of


@pytest.fixture(scope="module")
def model() -> onnx.ModelProto:
    return onnx.load_from_string(network_onnx(positions=True))


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    return [np.random.default_rng(seed).integers(0, 256, SIZE, np.uint8) for seed in range(3)]


def trial(model: onnx.ModelProto, images: list[np.ndarray], limit: float) -> Trial:
    return Trial.of(model, images, threshold=5.0, score_limit=limit, threads=1)


def test_the_half_graph_keeps_its_border_and_halves_its_weights(model: onnx.ModelProto) -> None:
    half = to_half(model, [])
    onnx.checker.check_model(half, full_check=True)
    for side in ("input", "output"):
        assert list(getattr(half.graph, side)) == list(getattr(model.graph, side))
    assert len(half.SerializeToString()) < 0.55 * len(model.SerializeToString())
    assert to_half(model, []).SerializeToString(deterministic=True) == half.SerializeToString(
        deterministic=True
    )


def test_a_cast_that_the_converter_writes_twice_is_kept_once(
    model: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ONNX Runtime 1.30's does, for a weight with two readers in an island; no runtime takes the graph."""
    convert = float16.convert_float_to_float16

    def twice(*given: Any, **options: Any) -> onnx.ModelProto:
        made: onnx.ModelProto = convert(*given, **options)
        nodes = [copy for node in made.graph.node for copy in [node] * (2 if node.op_type == "Cast" else 1)]
        both = onnx.ModelProto()
        both.CopyFrom(made)
        del both.graph.node[:]
        both.graph.node.extend(nodes)
        return both

    expected = to_half(model, ["node_Div_0"])
    monkeypatch.setattr(float16, "convert_float_to_float16", twice)
    found = to_half(model, ["node_Div_0"])
    onnx.checker.check_model(found, full_check=True)
    assert len(found.graph.node) == len(expected.graph.node)


def test_edges_inside_an_island_stay_fp32() -> None:
    """Squares of 300 fit FP32 only; the converter by itself would cast them to FP16 between two nodes."""
    nodes = [
        helper.make_node("Mul", ["x", "x"], ["square"], "square"),
        helper.make_node("Sqrt", ["square"], ["root"], "root"),
        helper.make_node("Mul", ["root", "two"], ["y"], "double"),
    ]
    border = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in ("x", "y")]
    made = helper.make_graph(
        nodes, "g", border[:1], border[1:], [numpy_helper.from_array(np.full(1, 2, np.float32), "two")]
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    x = np.array([300, 2], np.float32)
    for islands, expected in (([], [np.inf, 4]), (["square", "root"], [600, 4])):
        graph = rounded(to_half(model, islands)).SerializeToString()
        (found,) = ort.InferenceSession(graph, providers=["CPUExecutionProvider"]).run(None, {"x": x})
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("group", ["fusion", "backbone.blocks.3", "whitening", "views", "score"])
def test_a_group_alone_is_rounded_like_the_graph_with_all_else_as_islands(
    model: onnx.ModelProto, images: list[np.ndarray], group: str
) -> None:
    nodes = groups_of(model)[group]
    others = {node.name for node in model.graph.node} - set(nodes)
    quick = GraphRunner(rounded_nodes(model, nodes), threads=1).infer(images[0])
    whole = GraphRunner(to_half(model, others), threads=1).infer(images[0])
    exact = GraphRunner(model, threads=1).infer(images[0])
    np.testing.assert_allclose(quick.anomaly_map, whole.anomaly_map, rtol=2e-5, atol=2e-5)
    assert np.abs(quick.anomaly_map - exact.anomaly_map).max() > 0 or group in {"views", "score"}


@pytest.mark.slow
def test_islands_keep_the_score_within_the_limit_and_grow_as_it_tightens(
    model: onnx.ModelProto, images: list[np.ndarray]
) -> None:
    found = {limit: choose_half(model, trial(model, images, limit), quiet) for limit in (0.01, 1e-5)}
    assert trial(model, images, 0.01).error(found[0.01].model) <= HEADROOM * 0.01
    kept = {limit: {n for i in half.islands for n in i.nodes} for limit, half in found.items()}
    assert len(kept[0.01]) < len(kept[1e-5]) <= len(model.graph.node)
    assert all(island.why for half in found.values() for island in half.islands)


@pytest.mark.slow
def test_sums_that_leave_the_range_are_islands(images: list[np.ndarray], model: onnx.ModelProto) -> None:
    """Where the weights of an alignment are large, squares and their mean are kept FP32, and it says why."""
    large = onnx.ModelProto()
    large.CopyFrom(model)
    for tensor in large.graph.initializer:
        if tensor.name.startswith("transpose"):
            values = numpy_helper.to_array(tensor) * np.float32(1000)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    found = choose_half(large, trial(large, images, 0.01), quiet)
    reasons = [island.why for island in found.islands if island.group == "range"]
    assert any("its sums reached" in why for why in reasons)
    score = GraphRunner(found.model, threads=1).infer(images[0]).score
    assert score == pytest.approx(GraphRunner(large, threads=1).infer(images[0]).score, rel=0.05)


def test_groups_hold_every_node_once(model: onnx.ModelProto) -> None:
    groups = groups_of(model)
    names = [name for nodes in groups.values() for name in nodes]
    assert sorted(names) == sorted(node.name for node in model.graph.node)
    assert {"backbone.stem", "backbone.blocks.0", "backbone.blocks.14"} <= set(groups)


def test_int8_is_symmetric_without_int32_and_within_the_limit(
    model: onnx.ModelProto, images: list[np.ndarray]
) -> None:
    found = choose_quantised(model, images, trial(model, images, 0.2), quiet)
    onnx.checker.check_model(found.model, full_check=True)
    weights = {tensor.name: tensor for tensor in found.model.graph.initializer}
    pairs = [n for n in found.model.graph.node if n.op_type in {"QuantizeLinear", "DequantizeLinear"}]
    assert found.nodes
    for node in pairs:
        zero = weights[node.input[2]]
        assert zero.data_type == TensorProto.INT8
        assert not numpy_helper.to_array(zero).any()
    readers = {node.name for node in found.model.graph.node if node.op_type == "Conv"}
    assert set(found.nodes) <= readers
    made = {name for node in pairs for name in node.output}
    quantised = [n.name for n in found.model.graph.node if n.op_type == "Conv" and n.input[0] in made]
    assert sorted(quantised) == sorted(found.nodes)
    assert trial(model, images, 0.2).error(found.model) <= HEADROOM * 0.2


def test_int8_that_cannot_keep_the_limit_is_refused(model: onnx.ModelProto, images: list[np.ndarray]) -> None:
    with pytest.raises(EngineError, match=r"int8: found no group .* Use fp16, or a larger --score-limit"):
        choose_quantised(model, images, trial(model, images, 1e-6), quiet)
