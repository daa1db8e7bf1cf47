"""ONNX to a TensorRT plan, in a process of its own: what it is asked, and what it says.

A fresh process for two reasons: a builder that dies by a signal does not take the command with it, and in a
process that has built before TensorRT-RTX orders the plan's tables by other addresses, so that the bytes
differ.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import msgspec

from engines.engine import EngineError
from engines.sidecar import TensorRecord

if TYPE_CHECKING:
    from collections.abc import Callable

PREFIX = "@build "
"""Starts our lines on the worker's standard output: the library prints there, too."""


class PlanRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What to build; `compute_capabilities` such as "8.6" are for TensorRT-RTX, empty for the GPU here."""

    module: str
    onnx: str
    plan: str
    compute_capabilities: list[str]
    workspace_mb: int | None
    timing_cache: str | None


class Step(msgspec.Struct, frozen=True, tag=True):
    """Progress: step `done` of `of` of a phase."""

    phase: str
    done: int
    of: int


class Plan(msgspec.Struct, frozen=True, tag=True):
    """What was built; the plan is in its file."""

    version: str
    layers: int
    tensors: list[TensorRecord]
    flags: dict[str, bool | int | str]


class Refused(msgspec.Struct, frozen=True, tag=True):
    """Why nothing was built."""

    text: str


def build_plan(request: PlanRequest, progress: Callable[[str, int, int], None]) -> Plan:
    """Build the plan file.

    Args:
        request: what to build.
        progress: called with the phase, the step and how many there are.

    Raises:
        EngineError: the library is missing, refuses the graph or the target, or died.
    """
    command = [sys.executable, "-m", "engines.tensorrt_worker"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as worker:
        assert worker.stdin is not None
        assert worker.stdout is not None
        worker.stdin.write(msgspec.json.encode(request))
        worker.stdin.close()
        answer: Plan | Refused | None = None
        for line in worker.stdout:
            if not line.startswith(PREFIX.encode()):
                continue
            message: Step | Plan | Refused = _decode(line[len(PREFIX) :])
            if isinstance(message, Step):
                progress(message.phase, message.done, message.of)
            else:
                answer = message
        code = worker.wait()
    if isinstance(answer, Refused):
        raise EngineError(answer.text)
    if answer is None or code != 0:
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        raise EngineError(
            f"{request.module}: the builder died ({how}); expected a plan. Look at free memory and "
            "the driver."
        )
    return answer


_decode = msgspec.json.Decoder(Step | Plan | Refused).decode
