"""engine.json: what an engine's files are, and all that has to match before they are loaded."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING

import msgspec

from engines.engine import EngineError
from engines.records import file_sha256, read_record
from engines.targets import build_command, engine_folder

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = "hlgfa.engine/1.0"
FILE_NAME = "engine.json"


class EngineFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file of the engine's folder."""

    name: str
    size_bytes: int
    sha256: str


class TensorRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One tensor at the engine's border; `mode` is "input" or "output", `dtype` as NumPy names it."""

    name: str
    mode: str
    dtype: str
    shape: tuple[int, ...]


class Island(msgspec.Struct, frozen=True, kw_only=True):
    """Nodes of the graph that stay FP32 in an FP16 engine, and why."""

    group: str
    nodes: list[str]
    why: str


class Sidecar(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was built.

    `model_sha256` is the hash of the ONNX that the engine was made from. `compute_capabilities` are those
    built for, such as "8.6"; `gpu` is the name of the one it was built on, None if there was none. `layers`
    counts the layers of the network as the runtime parsed it, or the nodes of the graph on a CPU. `quantised`
    are the nodes in INT8.
    """

    schema: str = SCHEMA
    model_id: str
    model_sha256: str
    target: str
    precision: str
    runtime_version: str
    gpu: str | None
    compute_capabilities: list[str]
    batch: int
    files: list[EngineFile]
    tensors: list[TensorRecord]
    layers: int
    flags: dict[str, bool | int | str]
    islands: list[Island]
    quantised: list[str]
    created_utc: str

    def file(self, name: str) -> EngineFile | None:
        """The record of a file, None if there is none of this name."""
        return next((file for file in self.files if file.name == name), None)


def file_record(path: Path) -> EngineFile:
    """Name, size and hash of a file as it is now."""
    return EngineFile(name=path.name, size_bytes=path.stat().st_size, sha256=file_sha256(path))


def load_sidecar(
    model_dir: Path, *, target: str, precision: str, model_sha256: str, folder: Path | None = None
) -> Sidecar:
    """Read the sidecar of a model's engine and check it against the model and the files beside it.

    Args:
        model_dir: the model's folder.
        target: name of the runtime.
        precision: of the engine.
        model_sha256: hash of the model's ONNX.
        folder: of the engine; None for its place in the model's folder.

    Raises:
        EngineError: there is no engine, it belongs to another model, or a file of it is not the one built.
    """
    folder = folder or engine_folder(model_dir, target, precision)
    do = build_command(model_dir, target, precision)
    path = folder / FILE_NAME
    missing = "expected an engine that was built"
    sidecar = read_record(path, Sidecar, None, EngineError, missing=missing, do=do)
    found = (sidecar.schema, sidecar.target, sidecar.precision)
    if found != (SCHEMA, target, precision):
        raise EngineError(f"{path}: found {' '.join(found)}, expected {SCHEMA} {target} {precision}. {do}")
    if sidecar.model_sha256 != model_sha256:
        raise EngineError(
            f"{path}: found an engine of model {sidecar.model_sha256[:12]}, expected one of "
            f"{model_sha256[:12]}. {do}"
        )
    for file in sidecar.files:
        if PurePath(file.name).name != file.name or "\0" in file.name:
            raise EngineError(f"{path}: found a file {file.name!r}, expected names in its own folder. {do}")
        _check_file(folder / file.name, file, do)
    return sidecar


def check_listed(sidecar: Sidecar, names: tuple[str, ...], *, where: Path, do: str) -> None:
    """Refuse an engine whose sidecar has no hash of a file that is about to be loaded.

    Raises:
        EngineError: one of `names` is not among its files.
    """
    for name in names:
        if all(file.name != name for file in sidecar.files):
            raise EngineError(f"{where}: found no record of {name} in {FILE_NAME}, expected its hash. {do}")


def check_runtime(sidecar: Sidecar, version: str, *, where: Path, do: str) -> None:
    """Refuse an engine of another version of its runtime.

    Raises:
        EngineError: the versions differ.
    """
    if sidecar.runtime_version != version:
        raise EngineError(
            f"{where}: was built for {sidecar.target} {sidecar.runtime_version}, this machine has "
            f"{version}. {do}"
        )


def check_gpu(sidecar: Sidecar, *, gpu: str, compute_capability: str, where: Path, do: str) -> None:
    """Refuse an engine that was built for another GPU.

    An engine of TensorRT belongs to the GPU model that it was timed on; one of TensorRT-RTX to its compute
    capabilities.

    Raises:
        EngineError: this GPU is none that the engine was built for.
    """
    if compute_capability not in sidecar.compute_capabilities:
        raise EngineError(
            f"{where}: was built for compute capability {', '.join(sidecar.compute_capabilities)}, this GPU "
            f"({gpu}) has {compute_capability}. {do}"
            + (f" --compute-capability {compute_capability}" if sidecar.target == "tensorrt-rtx" else "")
        )
    if sidecar.target == "tensorrt" and sidecar.gpu != gpu:
        raise EngineError(f"{where}: was built on {sidecar.gpu}, this GPU is {gpu}. {do}")


def _check_file(path: Path, expected: EngineFile, do: str) -> None:
    try:
        found = file_record(path)
    except OSError as error:
        raise EngineError(f"{path}: cannot be read ({error.strerror}). {do}") from error
    if found != expected:
        raise EngineError(
            f"{path}: found {found.size_bytes} bytes of sha256 {found.sha256[:12]}, expected "
            f"{expected.size_bytes} of {expected.sha256[:12]}; the file was changed or is incomplete. {do}"
        )
