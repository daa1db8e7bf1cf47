"""Files of a model folder that came from elsewhere: paths out of it, files nobody vouches for, bombs."""

import struct
import zipfile
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image

from calibration.ignore_mask import decode_mask, mask_bytes
from calibration.record import CalibrationError
from engines import verification
from engines.engine import EngineError
from engines.sidecar import FILE_NAME, EngineFile, Sidecar, check_listed, file_record, load_sidecar
from engines.verification import VerificationSet

MODEL = "0" * 64


def write_sidecar(folder: Path, *files: EngineFile) -> Sidecar:
    sidecar = Sidecar(
        schema="hlgfa.engine/1.0",
        model_id="m",
        model_sha256=MODEL,
        target="openvino",
        precision="int8",
        runtime_version="1",
        gpu=None,
        compute_capabilities=[],
        batch=1,
        files=list(files),
        tensors=[],
        layers=1,
        flags={},
        islands=[],
        quantised=[],
        created_utc="2026",
    )
    (folder / FILE_NAME).write_bytes(msgspec.json.encode(sidecar))
    return sidecar


def load(folder: Path) -> Sidecar:
    return load_sidecar(folder, target="openvino", precision="int8", model_sha256=MODEL, folder=folder)


@pytest.mark.parametrize("name", ["../secret", "/etc/hostname", "sub/engine.xml", "engine\0.xml"])
def test_a_sidecar_names_no_file_outside_its_folder(tmp_path: Path, name: str) -> None:
    write_sidecar(tmp_path, EngineFile(name=name, size_bytes=1, sha256="0"))
    with pytest.raises(EngineError, match="expected names in its own folder") as caught:
        load(tmp_path)
    assert "sha256" not in str(caught.value)


def test_an_engine_file_that_the_sidecar_does_not_list_is_refused(tmp_path: Path) -> None:
    (tmp_path / "engine.xml").write_text("<net/>")
    sidecar = write_sidecar(tmp_path, file_record(tmp_path / "engine.xml"))
    assert load(tmp_path) == sidecar
    check_listed(sidecar, ("engine.xml",), where=tmp_path, do="Build it.")
    with pytest.raises(EngineError, match=r"found no record of engine.bin in engine.json"):
        check_listed(sidecar, ("engine.xml", "engine.bin"), where=tmp_path, do="Build it.")


# Images that verify an engine


def npz(path: Path, header: bytes, payload: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("images", "maps", "scores"):
            archive.writestr(f"{name}.npy", header + payload)
    return path


def npy_header(shape: str) -> bytes:
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


def test_a_small_set_that_unpacks_to_a_large_one_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verification, "MAX_UNPACKED_BYTES", 3_000_000)
    path = npz(tmp_path / "v.npz", npy_header("(1000000,)"), bytes(1_000_000))
    assert path.stat().st_size < 10_000
    with pytest.raises(EngineError, match=r"bytes unpacked, expected at most"):
        VerificationSet.load(path)


@pytest.mark.parametrize("shape", ["(10**15,)", "(1000000000000000,)", "(-1,)"])
def test_a_set_that_claims_more_than_it_has_is_an_error(tmp_path: Path, shape: str) -> None:
    with pytest.raises(EngineError, match="cannot be read"):
        VerificationSet.load(npz(tmp_path / "v.npz", npy_header(shape), b"x"))


def test_a_set_with_pickled_objects_is_refused(tmp_path: Path) -> None:
    objects = np.array([{}], dtype=object)
    np.savez(tmp_path / "v.npz", images=objects, maps=objects, scores=objects)
    with pytest.raises(EngineError, match="allow_pickle=False"):
        VerificationSet.load(tmp_path / "v.npz")


def test_a_damaged_deflate_stream_is_an_error(tmp_path: Path) -> None:
    path = npz(tmp_path / "v.npz", npy_header("(4000,)"), bytes(range(250)) * 16)
    data = bytearray(path.read_bytes())
    data[60:90] = bytes(30)
    path.write_bytes(data)
    with pytest.raises(EngineError, match="cannot be read"):
        VerificationSet.load(path)


# Masks of a region of interest


@pytest.mark.parametrize("name", ["../x.png", "/x.png", "a/../x.png", "x\0.png", ".."])
def test_a_mask_lies_beside_its_region(tmp_path: Path, name: str) -> None:
    with pytest.raises(CalibrationError, match="expected the name of a PNG file beside it, no folder"):
        mask_bytes(tmp_path / "roi.json", name)


def test_a_mask_of_another_size_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    Image.new("1", (9_000, 9_000)).save(tmp_path / "huge.png")
    whole = (tmp_path / "huge.png").read_bytes()
    head_only = whole[: len(whole) // 2]  # what follows is never looked at
    with pytest.raises(CalibrationError, match="found 9000x9000 pixels, expected 64x64"):
        decode_mask(head_only, (64, 64), where="mask")
