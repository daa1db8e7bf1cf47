"""The process that builds a TensorRT plan: all that is called of the library's builder."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from engines.engine import EngineError
from engines.sidecar import TensorRecord
from engines.tensorrt_bindings import bindings, dtype_name, first_error, make_logger
from engines.tensorrt_build import PREFIX, Plan, PlanRequest, Refused, Step

if TYPE_CHECKING:
    from collections.abc import Callable


def make_plan(request: PlanRequest, progress: Callable[[str, int, int], None]) -> Plan:
    """Build in this process and write the plan file; `tensorrt_build.build_plan` has it done in another.

    Raises:
        EngineError: the library is missing, or refuses the graph or the target.
    """
    trt = bindings(request.module)
    logger = make_logger(trt)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(Path(request.onnx).read_bytes()):
        raise EngineError(f"{request.module}: cannot parse the graph: {_first_error(parser)}")
    config = builder.create_builder_config()
    flags = _configure(trt, config, request)
    cache = _timing_cache(config, request)
    config.progress_monitor = _monitor(trt, progress)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise EngineError(f"{request.module}: cannot build the network: {first_error(logger)}")
    Path(request.plan).write_bytes(plan)
    if request.timing_cache is not None and cache is not None:
        Path(request.timing_cache).write_bytes(config.get_timing_cache().serialize())
    return Plan(trt.__version__, network.num_layers, _tensors(trt, network), flags)


def _configure(trt: Any, config: Any, request: PlanRequest) -> dict[str, bool | int | str]:
    """Set what was asked for; FP32 means FP32, so TF32 (10 bits, on by default) goes."""
    config.clear_flag(trt.BuilderFlag.TF32)
    flags: dict[str, bool | int | str] = {"strongly_typed": True, "tf32": False}
    if request.workspace_mb is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, request.workspace_mb * 2**20)
        flags["workspace_mb"] = request.workspace_mb
    if request.compute_capabilities:
        wanted = request.compute_capabilities
        config.num_compute_capabilities = len(wanted)
        for index, capability in enumerate(wanted):
            config.set_compute_capability(_capability(trt, capability), index)
    return flags


def _capability(trt: Any, capability: str) -> Any:
    name = "SM" + capability.replace(".", "")
    if not hasattr(trt.ComputeCapability, name):
        known = sorted(int(n[2:]) for n in dir(trt.ComputeCapability) if n.startswith("SM"))
        raise EngineError(
            f"--compute-capability: found {capability.replace('.', '')}, expected of "
            f"{', '.join(map(str, known))}, which is what TensorRT-RTX {trt.__version__} builds for. "
            "For another GPU build on it with: --target tensorrt"
        )
    return getattr(trt.ComputeCapability, name)


def _timing_cache(config: Any, request: PlanRequest) -> Any:
    if request.timing_cache is None:
        return None
    path = Path(request.timing_cache)
    cache = config.create_timing_cache(path.read_bytes() if path.exists() else b"")
    if cache is None or not config.set_timing_cache(cache, False):
        raise EngineError(f"{path}: is no timing cache of this TensorRT and GPU. Remove it, or name another.")
    return cache


def _tensors(trt: Any, network: Any) -> list[TensorRecord]:
    inputs = [(network.get_input(i), "input") for i in range(network.num_inputs)]
    outputs = [(network.get_output(i), "output") for i in range(network.num_outputs)]
    return [
        TensorRecord(name=t.name, mode=mode, dtype=dtype_name(trt, t.dtype), shape=tuple(t.shape))
        for t, mode in sorted(inputs + outputs, key=lambda item: (item[1], item[0].name))
    ]


def _first_error(parser: Any) -> str:
    if not parser.num_errors:
        return "it gave no reason"
    error = parser.get_error(0)
    node = f" (node {error.node_name()!r})" if error.node_name() else ""
    return f"{str(error.desc()).strip()}{node}"


def _monitor(trt: Any, progress: Callable[[str, int, int], None]) -> Any:
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]  # the bindings have no types
        """Passes phases on."""

        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.steps: dict[str, int] = {}

        def phase_start(self, phase: str, parent: str | None, steps: int) -> None:
            self.steps[phase] = steps
            progress(phase, 0, steps)

        def phase_finish(self, phase: str) -> None:
            steps = self.steps.pop(phase, 0)
            progress(phase, steps, steps)

        def step_complete(self, phase: str, step: int) -> bool:
            progress(phase, step + 1, self.steps.get(phase, 0))
            return True

    return Monitor()


def main() -> None:
    """Read a `PlanRequest` from standard input, build, and answer on standard output."""

    def say(message: Step | Plan | Refused) -> None:
        print(PREFIX + msgspec.json.encode(message).decode(), flush=True)

    request = msgspec.json.decode(sys.stdin.buffer.read(), type=PlanRequest)
    try:
        say(make_plan(request, lambda phase, done, of: say(Step(phase, done, of))))
    except EngineError as error:
        say(Refused(str(error)))
    except OSError as error:
        say(Refused(f"{request.plan}: cannot be written ({error.strerror}). Free space there."))


if __name__ == "__main__":
    main()
