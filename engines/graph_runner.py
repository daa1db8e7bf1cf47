"""Runs a graph on the CPU as it is written: the judge of one that its own target cannot run here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from engines.engine import EngineError, EngineOutput
from engines.rounding import rounded
from engines.tensors import INPUT, MAP, SCORE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from onnx import ModelProto


class GraphRunner:
    """One graph in ONNX Runtime: FP16 tensors really rounded, Q/DQ pairs computed as they stand.

    Args:
        model: the graph.
        threads: of the CPU.
        taps: further tensors to give out, by the names of the nodes that make them.

    Raises:
        EngineError: ONNX Runtime cannot load the graph.
    """

    def __init__(self, model: ModelProto, *, threads: int, taps: Sequence[str] = ()) -> None:
        import onnxruntime as ort

        graph = rounded(model)
        made = _tapped(model, graph, taps)
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if any(node.op_type == "QuantizeLinear" for node in graph.graph.node):
            # Fused integer kernels saturate their sums on some processors; the pairs as written do not.
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        try:
            self._session = ort.InferenceSession(
                graph.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # the runtime raises several unrelated types of its own
            raise EngineError(f"ONNX Runtime cannot load the graph: {error}") from error
        self._taps = list(made)
        self._names = [MAP, SCORE, *made.values()]

    def infer(self, image: NDArray[np.uint8]) -> EngineOutput:
        """Anomaly map and image score of one raw image, as an engine gives them."""
        anomaly_map, score = self._session.run([MAP, SCORE], {INPUT: image})
        return EngineOutput(float(score[0]), anomaly_map)

    def tapped(self, image: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """Name of the node -> the tensor it makes, for each of `taps` whose tensor is of floats."""
        values = self._session.run(self._names, {INPUT: image})[2:]
        return dict(zip(self._taps, values, strict=True))


def _tapped(model: ModelProto, graph: ModelProto, taps: Sequence[str]) -> dict[str, str]:
    """Make the first tensor of each node an output of `graph`; node -> tensor."""
    from onnx import TensorProto, helper

    first = {node.name: node.output[0] for node in model.graph.node}
    outputs = {value.name for value in graph.graph.output}
    made = {node: first[node] for node in taps if node in first}
    for name in dict.fromkeys(made.values()):
        if name not in outputs:
            graph.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    return made
