"""Drives one process for each model and runtime: each in turn, so that all see the same machine."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import numpy as np
import psutil

from engines.engine import EngineError
from tools.peers.record import Timed

if TYPE_CHECKING:
    from typing_extensions import Self

MIB = 2**20
RUNTIMES = ("openvino", "onnxruntime")


class Subject(NamedTuple):
    """A model to time; `score` is what torch computes for the test image, where that is known."""

    name: str
    onnx: Path
    score: float | None = None


class Worker:
    """A process with one model loaded; `run` asks it for runs, `close` ends it and may be called again."""

    def __init__(self, subject: Subject, runtime: str, threads: int) -> None:
        self.subject, self.runtime = subject, runtime
        self._stderr = tempfile.TemporaryFile("w+")  # noqa: SIM115 - until close()
        command = [sys.executable, "-m", "tools.peers.worker", str(subject.onnx), runtime, str(threads)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._stderr, text=True
        )
        try:
            self.ready: Mapping[str, Any] = self._answer()
        except BaseException:
            self.close()
            raise

    def run(self, runs: int) -> list[float]:
        """Milliseconds of each of `runs` runs.

        Raises:
            EngineError: the process ended.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{runs}\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._ended() from None
        return self._answer()  # type: ignore[no-any-return]

    @property
    def rss_mib(self) -> float:
        """Resident memory of the process."""
        return float(psutil.Process(self._process.pid).memory_info().rss) / MIB

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()
        self._stderr.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise self._ended()
        return json.loads(line)

    def _ended(self) -> EngineError:
        code = self._process.wait()
        last = last_line(self._stderr)
        return EngineError(f"{self.subject.name} with {self.runtime}: its process ended with {code}: {last}")


def last_line(stderr: IO[str]) -> str:
    """The last that a process wrote: of a traceback, what happened."""
    stderr.seek(0)
    return (stderr.read().strip().splitlines() or ["no message"])[-1]


def check_scores(name: str, scores: Mapping[str, float]) -> None:
    """All runtimes must compute the same thing of the same image, or their times mean nothing.

    Raises:
        EngineError: the scores differ by more than 1 % of the largest.
    """
    values = np.array(list(scores.values()))
    if not np.ptp(values) <= 0.01 * np.abs(values).max():  # true of NaN as well
        raise EngineError(f"{name}: found scores {dict(scores)} of one image, expected the same within 1 %.")


def time_all(
    subjects: Sequence[Subject], threads: int, rounds: int, runs: int, told: Callable[[int], None]
) -> list[Timed]:
    """Load every model in every runtime and time them round by round; `told` hears of every round done.

    Each round begins with another worker, so that none always follows the same one.

    Raises:
        EngineError: a model cannot be loaded or run, or its scores differ between runtimes.
    """
    with ExitStack() as stack:
        workers = [stack.enter_context(Worker(s, r, threads)) for s in subjects for r in RUNTIMES]
        for subject in subjects:
            scores = {w.runtime: w.ready["score"] for w in workers if w.subject is subject}
            check_scores(
                subject.name, scores if subject.score is None else {**scores, "torch": subject.score}
            )
        taken: dict[Worker, list[list[float]]] = {worker: [] for worker in workers}
        for done in range(rounds):
            first = done % len(workers)
            for worker in workers[first:] + workers[:first]:
                taken[worker].append(worker.run(runs))
            told(done + 1)
        return [_timed(worker, taken[worker]) for worker in workers]


def _timed(worker: Worker, rounds_ms: list[list[float]]) -> Timed:
    return Timed(
        model=worker.subject.name,
        runtime=worker.runtime,
        dtype=worker.ready["dtype"],
        shape=tuple(worker.ready["shape"]),
        onnx_mib=worker.subject.onnx.stat().st_size / MIB,
        rss_mib=worker.rss_mib,
        rounds_ms=rounds_ms,
    )
