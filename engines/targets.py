"""Which runtimes exist, and at which precisions each can run a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from engines.engine import EngineError

if TYPE_CHECKING:
    from pathlib import Path

Runtime = Literal["onnxruntime", "openvino", "tensorrt", "tensorrt-rtx"]
Precision = Literal["fp32", "fp16", "int8"]

PRECISIONS: dict[str, tuple[str, ...]] = {
    "onnxruntime": ("fp32",),  # has hardly any FP16 operator for a CPU, and loses to OpenVINO in INT8
    "openvino": ("fp32", "int8"),
    "tensorrt": ("fp32", "fp16", "int8"),
    "tensorrt-rtx": ("fp32", "fp16", "int8"),
}
BINDINGS = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx"}
"""Runtimes on a GPU, and the Python module of each; both have the same interface."""


def check_combination(runtime: str, precision: str) -> None:
    """Refuse what does not exist; nothing falls back.

    Raises:
        EngineError: the runtime or the precision is unknown, or the runtime does not have the precision.
    """
    if runtime not in PRECISIONS:
        raise EngineError(f"engine.runtime: found {runtime!r}, expected one of {', '.join(PRECISIONS)}.")
    if precision not in PRECISIONS[runtime]:
        others = [name for name, found in PRECISIONS.items() if precision in found]
        elsewhere = f" {precision} exists for {', '.join(others)}." if others else ""
        raise EngineError(
            f"engine.precision: found {precision!r} with runtime {runtime!r}, expected "
            f"{' or '.join(PRECISIONS[runtime])}.{elsewhere}"
        )


def needs_build(runtime: str, precision: str) -> bool:
    """Whether an engine has files of its own; fp32 on a CPU runs model.onnx itself."""
    return runtime in BINDINGS or precision != "fp32"


def engine_folder(model_dir: Path, runtime: str, precision: str) -> Path:
    """Where a model's engine for a target lies."""
    return model_dir / "engines" / f"{runtime}-{precision}"


def build_command(model_dir: Path, runtime: str, precision: str) -> str:
    """What a message tells the user to run."""
    return f"Run: build_engine --model {model_dir} --target {runtime} --precision {precision}"


assert set(PRECISIONS) == set(get_args(Runtime))
