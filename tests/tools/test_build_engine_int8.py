"""`build_engine --target openvino --precision int8` with the real NNCF: it runs here, and is proven here."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import msgspec
import pytest
from PIL import Image

from engines.certificate import load_certificate
from engines.engine import EngineError
from engines.load import open_engine
from engines.records import write_record
from pipeline.config import EngineConfig
from pipeline.inspection_start import open_verified
from support.commands import build_engine, refused
from support.networks import write_network
from support.parts import good_part


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_network(tmp_path_factory.mktemp("network") / "part")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for seed in range(6):
        Image.fromarray(good_part(seed, size_px=96)[:64]).save(folder / f"{seed}.png")
    return folder


@pytest.fixture(scope="module")
def built(network: Path, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With its engine, which nobody may change."""
    folder = tmp_path_factory.mktemp("int8") / "part"
    shutil.copytree(network, folder, ignore=shutil.ignore_patterns("engines"))
    done = build_engine(*arguments(folder), "--images", pictures)
    assert done.returncode == 0, done.stderr
    assert "allowed 10.0% of the threshold or of the score where that is larger" in done.stdout
    return folder


def arguments(model: Path) -> tuple[object, ...]:
    return ("--model", model, "--target", "openvino", "--precision", "int8")


def test_sidecar_and_certificate_say_what_it_is(built: Path) -> None:
    folder = built / "engines" / "openvino-int8"
    sidecar = json.loads((folder / "engine.json").read_text())
    certificate = load_certificate(folder)
    assert [file["name"] for file in sidecar["files"]] == ["engine.xml", "engine.bin"]
    assert sidecar["quantised"]
    assert certificate.status == "verified"
    assert certificate.engine.device.startswith("CPU, ")
    assert 0 < certificate.comparison.share(certificate.limit) <= 0.1
    assert certificate.comparison.images == 6  # of three; the other three gave the ranges


def test_the_station_opens_it_and_verifies_it_on_another_processor(built: Path) -> None:
    config = EngineConfig(model=str(built), runtime="openvino", precision="int8")
    folder = built / "engines" / "openvino-int8"
    before = load_certificate(folder)
    engine, _ = open_verified(config)
    engine.close()
    assert load_certificate(folder) == before
    moved = msgspec.structs.replace(
        before, engine=msgspec.structs.replace(before.engine, device="CPU, of long ago")
    )
    write_record(moved, folder / "certificate.json")
    engine, _ = open_verified(config)
    engine.close()
    after = load_certificate(folder)
    assert after.engine == before.engine
    assert after.proven.endswith("at a start of the station")


def test_changed_weights_are_refused(built: Path, tmp_path: Path) -> None:
    copy = tmp_path / "part"
    shutil.copytree(built, copy)
    weights = copy / "engines" / "openvino-int8" / "engine.bin"
    data = bytearray(weights.read_bytes())
    data[1000] ^= 1
    weights.write_bytes(data)
    with pytest.raises(EngineError, match=r"engine\.bin: .* was changed or is incomplete"):
        open_engine(copy, runtime="openvino", precision="int8", threads=1)


def test_another_version_of_the_runtime_is_refused(built: Path, tmp_path: Path) -> None:
    copy = tmp_path / "part"
    shutil.copytree(built, copy)
    path = copy / "engines" / "openvino-int8" / "engine.json"
    sidecar = json.loads(path.read_text())
    path.write_text(json.dumps({**sidecar, "runtime_version": "2019.1"}))
    with pytest.raises(EngineError, match=r"was built for openvino 2019\.1, this machine has .*build_engine"):
        open_engine(copy, runtime="openvino", precision="int8", threads=1)


def test_an_error_above_the_limit_keeps_nothing(network: Path, pictures: Path, tmp_path: Path) -> None:
    folder = tmp_path / "part"
    shutil.copytree(network, folder, ignore=shutil.ignore_patterns("engines"))
    done = build_engine(*arguments(folder), "--images", pictures, "--score-limit", "0.000001")
    refused(done, "expected at most 0.0% of the threshold or of the score where that is larger")
    assert not (folder / "engines").exists()


def test_no_parts_are_refused(network: Path) -> None:
    refused(build_engine(*arguments(network)), "found no calibration parts")
