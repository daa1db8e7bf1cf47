"""One process that holds one ONNX model in one runtime and runs it when asked.

Every model, ours as well, goes through this file, so that all have the same settings: those of our engines. A
line on stdin is a number of runs; the answer is one line of JSON, their milliseconds. Imports no more than it
needs, since its resident memory is one of the figures.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from tools.benchmark.times import times_ns

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

SCORES = ("score", "pred_score")
"""Output that holds the image score: ours, anomalib's."""
_TYPES = {"tensor(uint8)": "uint8", "tensor(float)": "float32"}


def test_input(dtype: str, shape: tuple[int, ...]) -> Array:
    """The same image for all runtimes: noise, 0 .. 255 for uint8, of variance 1 for float32."""
    generator = np.random.default_rng(0)
    if dtype == "uint8":
        return generator.integers(0, 256, shape, np.uint8)
    return generator.standard_normal(shape, np.float32)


def open_onnxruntime(onnx: str, threads: int) -> tuple[Array, Callable[[Array], dict[str, Array]]]:
    """Load with ONNX Runtime; idle threads sleep, as they would otherwise slow the model that comes next."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session: Any = ort.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
    taken = session.get_inputs()[0]
    names = [output.name for output in session.get_outputs()]

    def infer(image: Array) -> dict[str, Array]:
        return dict(zip(names, session.run(names, {taken.name: image}), strict=True))

    return test_input(_TYPES[taken.type], tuple(taken.shape)), infer


def open_openvino(onnx: str, threads: int) -> tuple[Array, Callable[[Array], dict[str, Array]]]:
    """Load with OpenVINO, held to fp32; the image is copied in and the results are copied out."""
    import openvino as ov

    settings = {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,
    }
    core = ov.Core()
    compiled = core.compile_model(core.read_model(onnx), "CPU", settings)
    request: Any = compiled.create_infer_request()
    taken = compiled.inputs[0]
    names = [output.get_any_name() for output in compiled.outputs]
    dtype = np.dtype(taken.get_element_type().to_dtype()).name

    def infer(image: Array) -> dict[str, Array]:
        request.get_input_tensor().data[...] = image
        request.infer()
        return {name: np.array(request.get_tensor(name).data) for name in names}

    return test_input(dtype, tuple(taken.get_shape())), infer


OPENERS = {"onnxruntime": open_onnxruntime, "openvino": open_openvino}


def run_ms(infer: Callable[[Array], dict[str, Array]], image: Array, runs: int) -> list[float]:
    """Milliseconds of each of `runs` runs, after one that is not counted: others ran since the last."""
    infer(image)
    return [ns / 1e6 for ns in times_ns(infer, image, runs)]


def serve(onnx: str, runtime: str, threads: int) -> None:
    """Say what was loaded, then answer until stdin ends."""
    image, infer = OPENERS[runtime](onnx, threads)
    outputs = infer(image)
    score = next(float(outputs[name].reshape(-1)[0]) for name in SCORES if name in outputs)
    ready = {"dtype": image.dtype.name, "shape": image.shape, "score": score}
    print(json.dumps(ready), flush=True)
    for line in sys.stdin:
        print(json.dumps(run_ms(infer, image, int(line))), flush=True)


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2], int(sys.argv[3]))
