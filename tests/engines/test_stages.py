"""Stages of the exported network, and the one that lost the range."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from engines.lost_range import first_lost, stage_errors
from engines.stages import STAGES, stages_of
from engines.whitening import BANDS
from support.networks import SIZE, network_onnx


@pytest.fixture(scope="module")
def model() -> onnx.ModelProto:
    return onnx.load_from_string(network_onnx(positions=True))


def test_every_stage_is_found_and_the_data_never_goes_back(model: onnx.ModelProto) -> None:
    stages = stages_of(model)
    assert set(stages.values()) == set(STAGES)
    makers = {name: node.name for node in model.graph.node for name in node.output}
    for node in model.graph.node:
        before = [STAGES.index(stages[makers[name]]) for name in node.input if name in makers]
        assert all(index <= STAGES.index(stages[node.name]) for index in before), node.name


def test_nodes_are_where_the_network_says(model: onnx.ModelProto) -> None:
    stages = stages_of(model)
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    roots = [n for n in model.graph.node if any(len(weights[i].dims) == 3 for i in n.input if i in weights)]
    convolutions = [n for n in model.graph.node if any(i.startswith("backbone.") for i in n.input)]
    assert len(roots) == 3 * BANDS  # alignment at 8 and 16, appearance at 16
    assert {stages[node.name] for node in roots} == {"whitening"}
    assert len(convolutions) > 80
    assert {stages[node.name] for node in convolutions} == {"backbone"}
    assert {stages[n.name] for n in model.graph.node if n.op_type == "Sqrt"} <= {"distance", "terms"}
    assert stages[model.graph.node[0].name] == "views"
    assert stages[model.graph.node[-1].name] == "score"


def spoiled(model: onnx.ModelProto, word: str, factor: float) -> onnx.ModelProto:
    """The same graph, one of whose weights is off by a factor."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    tensor = next(t for t in result.graph.initializer if word in t.name)
    values = numpy_helper.to_array(tensor) * np.float32(factor)
    tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float32), tensor.name))
    return result


@pytest.mark.parametrize(
    ("word", "factor", "stage"),
    [
        ("backbone.blocks.4.layers.2.weight", 1.5, "backbone"),
        ("levels.8.standardise_hr.inverse_std", 3.0, "alignment"),
        ("whitening.band_1", 4.0, "whitening"),
        ("levels.16.term.gain", 5.0, "terms"),
        ("backbone.blocks.4.layers.2.weight", 1e37, "backbone"),
    ],
)
def test_the_stage_that_lost_the_range_is_named(
    model: onnx.ModelProto, word: str, factor: float, stage: str
) -> None:
    images = [np.random.default_rng(seed).integers(0, 256, SIZE, np.uint8) for seed in range(2)]
    errors = stage_errors(model, spoiled(model, word, factor), images, threads=1)
    assert list(errors) == [name for name in STAGES if name in errors]
    assert first_lost(errors) == stage


def test_equal_graphs_lost_nothing(model: onnx.ModelProto) -> None:
    image = np.full(SIZE, 100, np.uint8)
    errors = stage_errors(model, model, [image], threads=1)
    assert max(errors.values()) == 0
    assert first_lost(errors) is None
