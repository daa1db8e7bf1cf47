"""One engine in a process of its own, which runs frames when it is asked and tells how long each took."""

from __future__ import annotations

import multiprocessing
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from engines.engine import EngineError, EngineInfo
from engines.load import open_engine
from engines.manifest import load_manifest
from tools.benchmark.times import times_ns

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from typing_extensions import Self

STOP_S = 10.0


class Target(msgspec.Struct, frozen=True):
    """A runtime and a precision, such as `openvino:int8`."""

    runtime: str
    precision: str = "fp32"

    def __str__(self) -> str:
        return f"{self.runtime} {self.precision}"


class Ready(msgspec.Struct, frozen=True, tag=True):
    """The engine is loaded and warmed up."""

    info: EngineInfo
    load_s: float


class Failed(msgspec.Struct, frozen=True, tag=True):
    """Why the engine cannot be opened or run."""

    text: str


class Timed(msgspec.Struct, frozen=True, tag=True):
    """Nanoseconds of each frame, and resident bytes of the process after them."""

    times_ns: list[int]
    rss_bytes: int


_Answer = Ready | Failed | Timed


class Worker:
    """An engine in its own process; loaded once constructed.

    Raises:
        EngineError: the engine cannot be opened; its message is the engine's own.
    """

    def __init__(self, model_dir: Path, target: Target, *, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, child = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(child, str(model_dir), str(target.runtime), str(target.precision), threads)
        )
        self._process.start()
        child.close()
        answer = self._answer()
        assert isinstance(answer, Ready)
        self.info, self.load_s = answer.info, answer.load_s

    def run(self, frames: int) -> Timed:
        """Time so many frames, one after the other.

        Raises:
            EngineError: the engine failed, or its process died.
        """
        answer = self._answer(frames)
        assert isinstance(answer, Timed)
        return answer

    def close(self) -> None:
        """End the process; safe to call again."""
        self._connection.close()
        self._process.join(STOP_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _answer(self, frames: int | None = None) -> _Answer:
        """What the process says, first asked for so many frames."""
        try:
            if frames is not None:
                self._connection.send_bytes(msgspec.json.encode(frames))
            answer: _Answer = msgspec.json.decode(self._connection.recv_bytes(), type=_Answer)
        except (EOFError, ConnectionError) as error:
            self.close()
            raise EngineError(
                f"the engine's process ended with exit code {self._process.exitcode}; expected an answer."
            ) from error
        if isinstance(answer, Failed):
            self.close()
            raise EngineError(answer.text)
        return answer


def _serve(connection: Connection, model_dir: str, runtime: str, precision: str, threads: int) -> None:
    """Open the engine, then answer each number of frames with their times until the pipe is closed."""
    import psutil

    def say(answer: _Answer) -> None:
        connection.send_bytes(msgspec.json.encode(answer))

    process = psutil.Process()
    try:
        began_s = time.perf_counter()
        known: Any = {"runtime": runtime, "precision": precision}
        with open_engine(Path(model_dir), **known, threads=threads) as engine:
            say(Ready(engine.info, time.perf_counter() - began_s))
            image = _noise(load_manifest(Path(model_dir)).input_shape)
            while True:
                frames = msgspec.json.decode(connection.recv_bytes(), type=int)
                say(Timed(times_ns(engine.infer, image, frames), process.memory_info().rss))
    except EngineError as error:
        say(Failed(str(error)))
    except (EOFError, KeyboardInterrupt):
        return


def _noise(shape: tuple[int, ...]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Grey with noise, so that no tensor is all zeros."""
    return np.random.default_rng(0).normal(128, 24, shape).clip(0, 255).astype(np.uint8)
