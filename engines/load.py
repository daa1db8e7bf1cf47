"""Open an engine by the name of its runtime; nothing falls back to another."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from engines.engine import EngineError
from engines.targets import BINDINGS, Precision, Runtime, check_combination

if TYPE_CHECKING:
    from pathlib import Path

    from engines.engine import Engine

_CPU_ENGINES = {
    "onnxruntime": ("engines.onnxruntime_engine", "OnnxRuntimeEngine"),
    "openvino": ("engines.openvino_engine", "OpenVinoEngine"),
}


def open_engine(
    model_dir: Path,
    *,
    runtime: Runtime,
    precision: Precision = "fp32",
    threads: int,
    spinning: bool = False,
    folder: Path | None = None,
) -> Engine:
    """Load and warm up the model of a folder with the runtime of this name.

    Args:
        model_dir: of the model.
        runtime: its name.
        precision: of the engine.
        threads: of the CPU; a GPU takes none.
        spinning: whether threads of ONNX Runtime wait busily; other runtimes have no such choice.
        folder: of a built engine, while it is not yet in its place; None for that place.

    Raises:
        EngineError: the runtime is unknown, not installed or has no such precision, or the model or its
            engine cannot be loaded.
    """
    check_combination(runtime, precision)
    if threads < 1:
        raise EngineError(f"engine.threads: found {threads}, expected at least 1.")
    if spinning and runtime != "onnxruntime":
        raise EngineError(f"engine.spinning: found true with runtime {runtime!r}, expected onnxruntime.")
    if runtime in BINDINGS:
        from engines.tensorrt_engine import TensorRtEngine

        return TensorRtEngine(model_dir, target=runtime, precision=precision, folder=folder)
    module, name = _CPU_ENGINES[runtime]
    try:
        engine_type = getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise EngineError(
            f"engine.runtime: {runtime!r} is not installed ({error}). Run: pip install {runtime}"
        ) from error
    options: dict[str, dict[str, Any]] = {
        "onnxruntime": {"spinning": spinning},
        "openvino": {"precision": precision, "folder": folder},
    }
    engine: Engine = engine_type(model_dir, threads=threads, **options[runtime])
    return engine
