"""ONNX Runtime on the CPU: the default engine of a station."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime as ort

from engines.engine import EngineError, EngineInfo, EngineOutput
from engines.manifest import ONNX_NAME, Manifest, engine_info, load_model
from engines.tensors import INPUT, MAP, SCORE, Signature, check_image, check_signature

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from typing_extensions import Self

_TYPES = {"tensor(uint8)": "uint8", "tensor(float)": "float32"}


class OnnxRuntimeEngine:
    """One model in one session; loaded, checked and warmed up once constructed."""

    def __init__(self, model_dir: Path, *, threads: int, spinning: bool = False) -> None:
        manifest, onnx = load_model(model_dir)
        self._session: Any = _session(onnx, model_dir, threads, spinning=spinning)
        self._shape = manifest.input_shape
        check_signature(_signature(self._session), manifest, where=str(model_dir / ONNX_NAME))
        self._info = _info(manifest)
        self.infer(np.zeros(self._shape, np.uint8))

    @property
    def info(self) -> EngineInfo:
        """What the engine is and what it takes."""
        return self._info

    def infer(self, image: NDArray[np.uint8]) -> EngineOutput:
        """Anomaly map and image score of one raw camera image; see `engines.engine.Engine`."""
        if self._session is None:
            raise EngineError(f"engine {self._info.model_id}: is closed. Open it again before infer.")
        check_image(image, self._shape)
        try:
            anomaly_map, score = self._session.run([MAP, SCORE], {INPUT: image})
        except Exception as error:  # the runtime raises several unrelated types of its own
            raise EngineError(f"engine {self._info.model_id}: ONNX Runtime failed: {error}") from error
        return EngineOutput(float(score[0]), anomaly_map)

    def close(self) -> None:
        """Free the session; safe to call again."""
        self._session = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _session(onnx: bytes, model_dir: Path, threads: int, *, spinning: bool) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Spinning workers burn the cores that capture and station need between two frames.
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if spinning else "0")
    try:
        return ort.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime raises several unrelated types of its own
        raise EngineError(f"{model_dir / ONNX_NAME}: ONNX Runtime cannot load it: {error}") from error


def _signature(session: Any) -> Signature:
    tensors = [*session.get_inputs(), *session.get_outputs()]
    return {tensor.name: (_TYPES.get(tensor.type, tensor.type), tuple(tensor.shape)) for tensor in tensors}


def _info(manifest: Manifest) -> EngineInfo:
    return engine_info(manifest, runtime="onnxruntime", version=ort.__version__, device="CPU")
