"""Open an engine by the name of its runtime; nothing falls back to another."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Literal

from engines.engine import EngineError

if TYPE_CHECKING:
    from pathlib import Path

    from engines.engine import Engine

Runtime = Literal["onnxruntime", "openvino"]

_ENGINES = {
    "onnxruntime": ("engines.onnxruntime_engine", "OnnxRuntimeEngine"),
    "openvino": ("engines.openvino_engine", "OpenVinoEngine"),
}


def open_engine(
    model_dir: Path, *, runtime: Runtime, precision: Literal["fp32"] = "fp32", threads: int
) -> Engine:
    """Load and warm up the model of a folder with the runtime of this name.

    Raises:
        EngineError: the runtime is unknown or not installed, or the model cannot be loaded.
    """
    if runtime not in _ENGINES:
        raise EngineError(f"engine.runtime: found {runtime!r}, expected one of {', '.join(_ENGINES)}.")
    if precision != "fp32":
        raise EngineError(f"engine.precision: found {precision!r}, expected 'fp32' for runtime {runtime!r}.")
    if threads < 1:
        raise EngineError(f"engine.threads: found {threads}, expected at least 1.")
    module, name = _ENGINES[runtime]
    try:
        engine_type = getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise EngineError(
            f"engine.runtime: {runtime!r} is not installed ({error}). Run: pip install {runtime}"
        ) from error
    engine: Engine = engine_type(model_dir, threads=threads)
    return engine
