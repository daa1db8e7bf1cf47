"""OpenVINO on the CPU, held to fp32 so that it gives the scores that the calibration was made for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import openvino as ov

from engines.engine import EngineError, EngineInfo, EngineOutput
from engines.manifest import ONNX_NAME, engine_info, load_model
from engines.tensors import MAP, SCORE, Signature, check_image, check_signature

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from typing_extensions import Self

_TYPES = {"u8": "uint8", "f32": "float32"}


class OpenVinoEngine:
    """One compiled model with one request; loaded, checked and warmed up once constructed."""

    def __init__(self, model_dir: Path, *, threads: int) -> None:
        manifest, onnx = load_model(model_dir)
        compiled, device = _compiled(onnx, model_dir, threads)
        check_signature(_signature(compiled), manifest, where=str(model_dir / ONNX_NAME))
        self._request: Any = compiled.create_infer_request()
        self._shape = manifest.input_shape
        self._info = engine_info(manifest, runtime="openvino", version=ov.__version__, device=device)
        self.infer(np.zeros(self._shape, np.uint8))

    @property
    def info(self) -> EngineInfo:
        """What the engine is and what it takes."""
        return self._info

    def infer(self, image: NDArray[np.uint8]) -> EngineOutput:
        """Anomaly map and image score of one raw camera image; see `engines.engine.Engine`."""
        if self._request is None:
            raise EngineError(f"engine {self._info.model_id}: is closed. Open it again before infer.")
        check_image(image, self._shape)
        # The request's own input buffer: frames lie in memory that is mapped read-only, which OpenVINO
        # refuses to share. The copy of 512x512 pixels takes 20 us.
        self._request.get_input_tensor().data[...] = image
        try:
            self._request.infer()
        except RuntimeError as error:
            raise EngineError(f"engine {self._info.model_id}: OpenVINO failed: {error}") from error
        # The request's buffers are overwritten by the next frame; the result is the caller's to keep.
        anomaly_map = np.array(self._request.get_tensor(MAP).data, dtype=np.float32)
        return EngineOutput(float(self._request.get_tensor(SCORE).data[0]), anomaly_map)

    def close(self) -> None:
        """Free the request; safe to call again."""
        self._request = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _compiled(onnx: bytes, model_dir: Path, threads: int) -> tuple[Any, str]:
    settings = {
        "INFERENCE_PRECISION_HINT": "f32",  # otherwise bf16 where the processor has it, with other scores
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,  # the cores are shared with capture and station
    }
    core = ov.Core()
    try:
        return core.compile_model(core.read_model(onnx), "CPU", settings), "CPU"
    except RuntimeError as error:
        raise EngineError(f"{model_dir / ONNX_NAME}: OpenVINO cannot load it: {error}") from error


def _signature(compiled: Any) -> Signature:
    return {
        port.get_any_name(): (
            _TYPES.get(port.get_element_type().get_type_name(), port.get_element_type().get_type_name()),
            tuple(port.get_shape()),
        )
        for port in [*compiled.inputs, *compiled.outputs]
    }
