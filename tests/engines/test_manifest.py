from pathlib import Path

import msgspec
import pytest

from engines.engine import EngineError
from engines.load import open_engine
from engines.manifest import FILE_NAME, ONNX_NAME, load_manifest
from support.tiny_model import make_model


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return make_model(tmp_path / "m")


def test_a_model_is_read_back(model: Path) -> None:
    assert load_manifest(model).input_shape == (64, 64)


@pytest.mark.parametrize("name", [FILE_NAME, ONNX_NAME])
def test_a_missing_file_is_named(model: Path, name: str) -> None:
    (model / name).unlink()
    with pytest.raises(EngineError, match=rf"{name}: not found.*hlgfa train"):
        load_manifest(model)


@pytest.mark.parametrize("content", [b"", b"{}", b"not json", b'{"schema": "hlgfa.model/1.0"}'])
def test_a_broken_manifest_is_refused(model: Path, content: bytes) -> None:
    (model / FILE_NAME).write_bytes(content)
    with pytest.raises(EngineError, match="cannot be read"):
        load_manifest(model)


def test_another_schema_is_refused(model: Path) -> None:
    manifest = msgspec.json.decode((model / FILE_NAME).read_bytes())
    (model / FILE_NAME).write_bytes(msgspec.json.encode(manifest | {"schema": "hlgfa.model/9.0"}))
    with pytest.raises(EngineError, match=r"found schema 'hlgfa.model/9.0', expected"):
        load_manifest(model)


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_a_changed_onnx_is_refused(model: Path, runtime: str) -> None:
    data = bytearray((model / ONNX_NAME).read_bytes())
    data[len(data) // 2] ^= 1
    (model / ONNX_NAME).write_bytes(data)
    with pytest.raises(EngineError, match=r"found sha256 \w+, expected \w+"):
        open_engine(model, runtime=runtime, threads=1)  # type: ignore[arg-type]


def test_an_unknown_runtime_is_refused(model: Path) -> None:
    with pytest.raises(EngineError, match="found 'tvm', expected one of onnxruntime, openvino"):
        open_engine(model, runtime="tvm", threads=1)  # type: ignore[arg-type]


def test_a_runtime_that_is_not_installed_is_named(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "engines.openvino_engine", None)
    with pytest.raises(EngineError, match="'openvino' is not installed"):
        open_engine(model, runtime="openvino", threads=1)


def test_threads_and_precision_are_checked(model: Path) -> None:
    with pytest.raises(EngineError, match="found 0, expected at least 1"):
        open_engine(model, runtime="onnxruntime", threads=0)
    with pytest.raises(EngineError, match="found 'fp16' with runtime 'onnxruntime', expected fp32"):
        open_engine(model, runtime="onnxruntime", precision="fp16", threads=1)  # type: ignore[arg-type]
