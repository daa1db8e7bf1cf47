"""OpenVINO on the CPU: model.onnx in fp32, or an int8 engine that `build_engine` made of it.

What is not INT8 is held to fp32, so that it gives the scores that the calibration was made for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import openvino as ov

from engines.engine import EngineError, EngineInfo, EngineOutput
from engines.manifest import ONNX_NAME, engine_info, load_model
from engines.sidecar import check_listed, check_runtime, load_sidecar
from engines.targets import build_command, engine_folder, needs_build
from engines.tensors import MAP, SCORE, Signature, check_image, check_signature

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from typing_extensions import Self

    from engines.targets import Precision

XML_NAME, BIN_NAME = "engine.xml", "engine.bin"
_TYPES = {"u8": "uint8", "f32": "float32"}


class OpenVinoEngine:
    """One compiled model with one request; loaded, checked and warmed up once constructed.

    Args:
        model_dir: of the model.
        threads: of the CPU.
        precision: of the engine.
        folder: of a built engine, while it is not yet in its place; None for that place.

    Raises:
        EngineError: model or engine are missing, damaged, of another model or version, or do not compile.
    """

    def __init__(
        self, model_dir: Path, *, threads: int, precision: Precision = "fp32", folder: Path | None = None
    ) -> None:
        manifest, onnx = load_model(model_dir)
        built = needs_build("openvino", precision)
        source: bytes | Path = onnx
        path = model_dir / ONNX_NAME
        if built:
            path = source = _checked(model_dir, precision, manifest.model_sha256, folder)
        compiled = _compiled(source, path, threads)
        check_signature(_signature(compiled), manifest, where=str(path))
        self._request: Any = compiled.create_infer_request()
        self._shape = manifest.input_shape
        self._info = engine_info(
            manifest,
            runtime="openvino",
            version=ov.__version__,
            # Processors round INT8 in different ways: an engine that was built is verified on each.
            device=f"CPU, {ov.Core().get_property('CPU', 'FULL_DEVICE_NAME')}" if built else "CPU",
            precision=precision,
        )
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


def _checked(model_dir: Path, precision: Precision, model_sha256: str, folder: Path | None) -> Path:
    """The file of a built engine, if it is of this model and this version of OpenVINO."""
    path = (folder or engine_folder(model_dir, "openvino", precision)) / XML_NAME
    sidecar = load_sidecar(
        model_dir, target="openvino", precision=precision, model_sha256=model_sha256, folder=folder
    )
    do = build_command(model_dir, "openvino", precision)
    check_listed(sidecar, (XML_NAME, BIN_NAME), where=path, do=do)
    check_runtime(sidecar, ov.__version__, where=path, do=do)
    return path


def _compiled(source: bytes | Path, path: Path, threads: int) -> Any:
    settings = {
        "INFERENCE_PRECISION_HINT": "f32",  # otherwise bf16 where the processor has it, with other scores
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,  # the cores are shared with capture and station
    }
    core = ov.Core()
    try:
        return core.compile_model(core.read_model(source), "CPU", settings)
    except RuntimeError as error:
        raise EngineError(f"{path}: OpenVINO cannot load it: {error}") from error


def _signature(compiled: Any) -> Signature:
    return {
        port.get_any_name(): (
            _TYPES.get(port.get_element_type().get_type_name(), port.get_element_type().get_type_name()),
            tuple(port.get_shape()),
        )
        for port in [*compiled.inputs, *compiled.outputs]
    }
