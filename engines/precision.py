"""The graph that an engine is built from, at its precision."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from engines.engine import EngineError
from engines.sidecar import Island

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from onnx import ModelProto

    from engines.graph_runner import GraphRunner
    from engines.targets import Precision


class Graph(msgspec.Struct, frozen=True, kw_only=True):
    """The graph at a precision, as bytes; what it was made from, its islands and what is quantised."""

    onnx: bytes
    reference: bytes
    precision: str
    nodes: int
    islands: list[Island]
    quantised: list[str]

    @property
    def proof(self) -> str:
        """What it means that this graph, and not the engine, was compared."""
        how = {
            "fp16": ", with every FP16 tensor rounded to FP16",
            "int8": ", with its Q/DQ pairs computed as they stand",
        }.get(self.precision, "")
        return f"the graph that the engine was built from ran on this CPU{how}"

    def runner(self, threads: int) -> GraphRunner:
        """Runs the graph on the CPU as it is written."""
        from engines.graph_runner import GraphRunner

        return GraphRunner(_parsed(self.onnx), threads=threads)

    def lost_stage(self, images: Sequence[NDArray[np.uint8]], threads: int) -> str:
        """A sentence that names the stage of this graph that lost the range."""
        from engines.lost_range import first_lost, stage_errors

        errors = stage_errors(_parsed(self.reference), _parsed(self.onnx), images, threads=threads)
        listed = ", ".join(f"{stage} {error:.2g}" for stage, error in errors.items())
        lost = first_lost(errors)
        if lost is None:
            return f"On the CPU no stage of the graph loses the range ({listed}): the runtime itself does."
        return f"The stage {lost} lost the range; relative errors by stage: {listed}."


def make_graph(
    onnx: bytes,
    precision: Precision,
    images: Sequence[NDArray[np.uint8]],
    good: Sequence[NDArray[np.uint8]],
    *,
    threshold: float,
    score_limit: float,
    threads: int,
    where: Path,
    progress: Callable[[str, int, int], None],
) -> Graph:
    """The model's graph at a precision.

    Args:
        onnx: of the model, FP32.
        precision: wanted.
        images: good and defective parts in turn, to choose islands on.
        good: good parts, to take INT8 ranges from.
        threshold: of the score.
        score_limit: largest error of the score, as a fraction of the threshold.
        threads: of the CPU.
        where: the model's folder, for errors.
        progress: called with what is done, the step and how many there are.

    Raises:
        EngineError: the graph cannot be read or quantised.
    """
    model = _parsed(onnx, where)
    islands: list[Island] = []
    quantised: list[str] = []
    result = model
    if precision != "fp32":
        from engines.islands import choose_half
        from engines.quantised import choose_quantised
        from engines.selection import Trial

        trial = Trial.of(model, images, threshold=threshold, score_limit=score_limit, threads=threads)
        if precision == "fp16":
            result, islands = choose_half(model, trial, progress)
        else:
            result, quantised = choose_quantised(model, good, trial, progress)
    return Graph(
        onnx=onnx if result is model else result.SerializeToString(deterministic=True),
        reference=onnx,
        precision=precision,
        nodes=len(result.graph.node),
        islands=islands,
        quantised=quantised,
    )


def _parsed(onnx: bytes, where: Path | None = None) -> ModelProto:
    import onnx as onnx_package
    from google.protobuf.message import DecodeError

    try:
        return onnx_package.load_from_string(onnx)
    except DecodeError as error:
        raise EngineError(
            f"{where}/model.onnx: is no ONNX file ({error}). Run: hlgfa train --data DIR --out {where}"
        ) from error
