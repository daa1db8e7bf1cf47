"""The first start on a device: verified there before it is ready, refused if it does not compute the same."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from engines.certificate import FILE_NAME, NOT_VERIFIED, VERIFIED, Certificate, load_certificate
from engines.compare import ScoreLimit, compared
from engines.engine import Engine, EngineError, EngineOutput
from engines.load import open_engine
from engines.records import write_record
from engines.verification import IMAGES, VERIFICATION_NAME, VerificationSet, chosen, verify_at_start
from support.tiny_model import THRESHOLD, make_model


def image(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(2, 256, (64, 64), np.uint8)


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return open_engine(make_model(tmp_path / "model"), runtime="openvino", threads=1)


@pytest.fixture
def folder(engine: Engine, tmp_path: Path) -> Path:
    """An engine's folder whose engine has not run."""
    folder = tmp_path / "engine"
    folder.mkdir()
    outputs = [engine.infer(image(seed)) for seed in range(3)]
    VerificationSet(
        np.stack([image(seed) for seed in range(3)]),
        np.stack([output.anomaly_map for output in outputs]),
        np.array([output.score for output in outputs], np.float32),
    ).save(folder / VERIFICATION_NAME)
    certificate = Certificate(
        status=NOT_VERIFIED,
        proven="the graph ran",
        engine=msgspec.structs.replace(engine.info, device="not run yet"),
        reference="onnxruntime fp32",
        parts="3 images",
        comparison=compared([(outputs[0], outputs[0])], threshold=THRESHOLD),
        limit=ScoreLimit(0.01),
        roi_sha256=None,
        created_utc="2026-01-01T00:00:00+00:00",
    )
    write_record(certificate, folder / FILE_NAME)
    return folder


def verify(engine: Engine, folder: Path, threshold: float = THRESHOLD, roi: str | None = None) -> Certificate:
    return verify_at_start(engine, folder, threshold=threshold, roi_sha256=roi, judge=lambda output: output)


def test_the_first_start_writes_a_certificate_of_this_device(engine: Engine, folder: Path) -> None:
    certificate = verify(engine, folder)
    assert (certificate.status, certificate.engine) == (VERIFIED, engine.info)
    assert certificate.comparison.images == 3
    assert certificate.comparison.verdict_flips == 0
    assert load_certificate(folder) == certificate


def test_the_second_start_needs_no_images(engine: Engine, folder: Path) -> None:
    first = verify(engine, folder)
    (folder / VERIFICATION_NAME).unlink()
    assert verify(engine, folder) == first


@pytest.mark.parametrize(("threshold", "roi"), [(THRESHOLD + 1, None), (THRESHOLD, "ab" * 32)])
def test_another_threshold_or_region_is_verified_again(
    engine: Engine, folder: Path, threshold: float, roi: str | None
) -> None:
    verify(engine, folder)
    again = verify(engine, folder, threshold, roi)
    assert (again.comparison.threshold, again.roi_sha256) == (threshold, roi)
    (folder / VERIFICATION_NAME).unlink()
    with pytest.raises(EngineError, match=r"verification.npz: cannot be read"):
        verify(engine, folder)


class Wrong:
    """The same engine, whose scores are off."""

    def __init__(self, engine: Engine, factor: float) -> None:
        self.engine, self.factor, self.info = engine, factor, engine.info

    def infer(self, pixels: np.ndarray) -> EngineOutput:
        output = self.engine.infer(pixels)
        return EngineOutput(output.score * self.factor, output.anomaly_map * np.float32(self.factor))


@pytest.mark.parametrize(
    ("factor", "words"), [(1.02, "found a score error of"), (3.0, "verdicts changed"), (np.nan, "not finite")]
)
def test_an_engine_that_computes_something_else_is_refused(
    engine: Engine, folder: Path, factor: float, words: str
) -> None:
    before = (folder / FILE_NAME).read_bytes()
    with pytest.raises(EngineError, match=rf"{words}.*It must not be used. Build it again"):
        verify(Wrong(engine, factor), folder)  # type: ignore[arg-type]
    assert (folder / FILE_NAME).read_bytes() == before


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        (FILE_NAME, None, "certificate.json: not found"),
        (FILE_NAME, b"{", "certificate.json: cannot be read"),
        (VERIFICATION_NAME, b"PK", r"verification.npz: cannot be read"),
    ],
)
def test_what_is_missing_or_damaged_is_refused(
    engine: Engine, folder: Path, name: str, data: bytes | None, words: str
) -> None:
    if data is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(data)
    with pytest.raises(EngineError, match=words):
        verify(engine, folder)


def test_large_images_take_fewer_along() -> None:
    assert len(chosen(64, 512 * 512)) == IMAGES
    assert chosen(3, 512 * 512) == [0, 1, 2]
    assert len(chosen(64, 5000 * 4000 * 3)) == 2
