"""An engine's files and the sidecar that describes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engines.engine import EngineError, EngineInfo
from engines.gpu import find_gpu, first_gpu
from engines.manifest import ONNX_NAME, engine_info
from engines.records import now_utc
from engines.sidecar import Sidecar, TensorRecord, file_record
from engines.targets import BINDINGS
from engines.tensorrt_build import Plan, PlanRequest, build_plan
from engines.tensorrt_engine import PLAN_NAME
from engines.tensors import INPUT, check_signature, expected_signature

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from engines.build import BuildRequest
    from engines.gpu import Gpu
    from engines.manifest import Manifest
    from engines.precision import Graph
    from engines.sidecar import EngineFile

DEFAULT_CAPABILITY = "8.6"
"""What TensorRT-RTX builds for where there is no GPU and none is named; the command says so."""


def build_files(  # noqa: PLR0917 - told apart by type
    request: BuildRequest,
    manifest: Manifest,
    graph: Graph,
    ranges: Sequence[NDArray[np.uint8]],
    folder: Path,
    progress: Callable[[str, int, int], None],
) -> Sidecar:
    """Write the engine's files into `folder`; a CPU's fp32 engine has none, it runs model.onnx.

    `ranges` are the images that INT8 takes its ranges from.

    Raises:
        EngineError: an option is not of this target, or its library is missing or refuses.
    """
    gpu = find_gpu()
    quantised = graph.quantised
    if request.target in BINDINGS:
        plan, capabilities = _plan(request, graph, folder, gpu, progress)
        found = {tensor.name: (tensor.dtype, tensor.shape) for tensor in plan.tensors}
        check_signature(found, manifest, where=str(request.model_dir / ONNX_NAME))
        files = [file_record(folder / PLAN_NAME)]
    else:
        _refuse_gpu_options(request)
        plan, capabilities, files = _cpu(request, manifest, graph), [], []
        if request.precision == "int8":
            quantised, files = _openvino_int8(request, manifest, graph, ranges, folder, progress)
    return Sidecar(
        model_id=manifest.model_id,
        model_sha256=manifest.model_sha256,
        target=request.target,
        precision=request.precision,
        runtime_version=plan.version,
        gpu=gpu.name if gpu is not None and request.target in BINDINGS else None,
        compute_capabilities=capabilities,
        batch=request.batch,
        files=files,
        tensors=plan.tensors,
        layers=plan.layers,
        flags=plan.flags,
        islands=graph.islands,
        quantised=quantised,
        created_utc=now_utc(),
    )


def runnable(sidecar: Sidecar) -> bool:
    """Whether this machine can run what was built."""
    if sidecar.target not in BINDINGS:
        return True
    gpu = find_gpu()
    return gpu is not None and gpu.compute_capability in sidecar.compute_capabilities


def device_of(sidecar: Sidecar, manifest: Manifest) -> EngineInfo:
    """What an engine that has not run says about itself."""
    return engine_info(
        manifest,
        runtime=sidecar.target,
        version=sidecar.runtime_version,
        device=f"a GPU of compute capability {' or '.join(sidecar.compute_capabilities)}, not run yet",
        precision=sidecar.precision,
    )


def _plan(
    request: BuildRequest,
    graph: Graph,
    folder: Path,
    gpu: Gpu | None,
    progress: Callable[[str, int, int], None],
) -> tuple[Plan, list[str]]:
    """Build the plan; with the compute capabilities that it is for."""
    rtx = request.target == "tensorrt-rtx"
    if not rtx and request.compute_capabilities:
        raise EngineError(
            "--compute-capability: found with target tensorrt, expected none: its engines are for "
            "the GPU that they are built on. Build on the station's own GPU, or use tensorrt-rtx."
        )
    if rtx and request.timing_cache is not None:
        raise EngineError(
            "--timing-cache: found with target tensorrt-rtx, expected none: it times kernels at the "
            "first start."
        )
    if not rtx:
        gpu = first_gpu()  # its error says what is missing
    here = DEFAULT_CAPABILITY if gpu is None else gpu.compute_capability
    capabilities = list(request.compute_capabilities) or [here]
    source = folder / "graph.onnx"
    source.write_bytes(graph.onnx)
    plan = build_plan(
        PlanRequest(
            module=BINDINGS[request.target],
            onnx=str(source.absolute()),
            plan=str((folder / PLAN_NAME).absolute()),
            compute_capabilities=capabilities if rtx else [],
            workspace_mb=request.workspace_mb,
            timing_cache=None if request.timing_cache is None else str(request.timing_cache.absolute()),
        ),
        progress,
    )
    source.unlink()
    return plan, capabilities


def _cpu(request: BuildRequest, manifest: Manifest, graph: Graph) -> Plan:
    import importlib

    version = str(importlib.import_module(request.target).__version__)
    tensors = [
        TensorRecord(name=name, mode="input" if name == INPUT else "output", dtype=dtype, shape=shape)
        for name, (dtype, shape) in expected_signature(manifest).items()
    ]
    return Plan(version, graph.nodes, tensors, {})


def _openvino_int8(  # noqa: PLR0917 - told apart by type
    request: BuildRequest,
    manifest: Manifest,
    graph: Graph,
    ranges: Sequence[NDArray[np.uint8]],
    folder: Path,
    progress: Callable[[str, int, int], None],
) -> tuple[list[str], list[EngineFile]]:
    """Write OpenVINO's two files; the convolutions in INT8, and what the files are."""
    import openvino as ov

    from engines.openvino_engine import BIN_NAME, XML_NAME
    from engines.openvino_int8 import quantise

    made = quantise(
        graph.onnx, ranges, hr_height_px=manifest.hr_height_px, threads=request.threads, progress=progress
    )
    ov.save_model(made.model, folder / XML_NAME, compress_to_fp16=False)
    return made.quantised, [file_record(folder / name) for name in (XML_NAME, BIN_NAME)]


def _refuse_gpu_options(request: BuildRequest) -> None:
    options = {
        "--compute-capability": request.compute_capabilities,
        "--workspace-mb": request.workspace_mb,
        "--timing-cache": request.timing_cache,
    }
    for option, value in options.items():
        if value:
            raise EngineError(f"{option}: found with target {request.target}, expected it with a GPU only.")
