"""Plans of TensorRT whose bytes nobody reads, and whether a library can make real ones for the GPU here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from engines.gpu import find_gpu
from engines.manifest import load_manifest
from engines.sidecar import FILE_NAME, Sidecar, file_record
from engines.targets import BINDINGS
from engines.tensorrt_engine import PLAN_NAME


def write_plan(model: Path, *, target: str, precision: str, changes: dict[str, Any]) -> Path:
    """A plan and its sidecar, changed as said, in their place in the model's folder, which is returned."""
    folder = model / "engines" / f"{target}-{precision}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / PLAN_NAME).write_bytes(b"plan")
    manifest = load_manifest(model)
    sidecar = Sidecar(
        model_id=manifest.model_id,
        model_sha256=manifest.model_sha256,
        target=target,
        precision=precision,
        runtime_version="10.13",
        gpu=None,
        compute_capabilities=["8.6", "8.9"],
        batch=1,
        files=[file_record(folder / PLAN_NAME)],
        tensors=[],
        layers=1,
        flags={},
        islands=[],
        quantised=[],
        created_utc="2026-01-01T00:00:00+00:00",
    )
    (folder / FILE_NAME).write_bytes(msgspec.json.encode(msgspec.structs.replace(sidecar, **changes)))
    return folder


def skip_unless_it_runs_here(target: str) -> None:
    """Skip a test of TensorRT where the library is missing, or has no kernels for the GPU of this machine."""
    trt = pytest.importorskip(BINDINGS[target], reason=f"{target} is not installed")
    gpu = find_gpu()
    if target != "tensorrt-rtx" or gpu is None:  # no GPU is a failure of the test itself
        return
    if not hasattr(trt.ComputeCapability, "SM" + gpu.compute_capability.replace(".", "")):
        pytest.skip(
            f"TensorRT-RTX {trt.__version__} has no kernels for {gpu.name} ({gpu.compute_capability})"
        )
