"""Images with their reference results that travel with an engine, so that its first start can verify it."""

from __future__ import annotations

import zipfile
import zlib
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from engines.certificate import FILE_NAME, VERIFIED, load_certificate
from engines.compare import compared
from engines.engine import EngineError, EngineOutput
from engines.records import now_utc, write_record

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from engines.certificate import Certificate
    from engines.engine import Engine

VERIFICATION_NAME = "verification.npz"
IMAGES = 8
MAX_BYTES = 64 * 2**20
"""Of raw pixels; large cameras take fewer images along, two at least."""

MAX_UNPACKED_BYTES = 2**30
"""Two images of the largest cameras, with maps of the same size in four bytes a value, are less."""
_DAMAGED = (
    OSError,
    ValueError,
    KeyError,
    EOFError,
    MemoryError,
    NotImplementedError,
    RuntimeError,
    zlib.error,
    zipfile.BadZipFile,
)


class VerificationSet(NamedTuple):
    """Raw images (n, H, W) or (n, H, W, 3) uint8, and maps (n, h, w) and scores (n,) of the FP32 reference.

    The results are of the whole image: a region of interest is applied by whoever compares.
    """

    images: NDArray[np.uint8]
    maps: NDArray[np.float32]
    scores: NDArray[np.float32]

    def save(self, path: Path) -> None:
        """Write the set; the same set gives the same bytes."""
        np.savez_compressed(path, images=self.images, maps=self.maps, scores=self.scores)

    @classmethod
    def load(cls, path: Path) -> VerificationSet:
        """Read a set.

        Raises:
            EngineError: it is missing or damaged.
        """
        try:
            _check_unpacked(path)
            with np.load(path, allow_pickle=False) as found:
                return cls(found["images"], found["maps"], found["scores"])
        except _DAMAGED as error:
            raise EngineError(
                f"{path}: cannot be read ({error}); expected the images that verify the engine. "
                "Build the engine again: build_engine"
            ) from error


def _check_unpacked(path: Path) -> None:
    """Refuse a set that unpacks to far more than one is made of: a few kilobytes can hold gigabytes."""
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(member.file_size for member in archive.infolist())
    if unpacked > MAX_UNPACKED_BYTES:
        raise ValueError(f"found {unpacked} bytes unpacked, expected at most {MAX_UNPACKED_BYTES}")


def chosen(count: int, image_bytes: int) -> list[int]:
    """Which of `count` images travel: evenly spaced, `IMAGES` at most, and as many as `MAX_BYTES` holds."""
    wanted = min(count, IMAGES, max(2, MAX_BYTES // max(image_bytes, 1)))
    return sorted({round(i) for i in np.linspace(0, count - 1, wanted)})


def verify_at_start(
    engine: Engine,
    folder: Path,
    *,
    threshold: float,
    roi_sha256: str | None,
    judge: Callable[[EngineOutput], EngineOutput],
) -> Certificate:
    """The certificate of an engine on this device, made now from the set that travelled with it if need be.

    Args:
        engine: loaded.
        folder: of the engine.
        threshold: of the calibration that the station judges by.
        roi_sha256: region of interest of that calibration.
        judge: applies that region to a result.

    Raises:
        EngineError: the engine does not compute what the reference computed; it must not be used. Or its
            certificate or images cannot be read or the certificate cannot be written.
    """
    certificate = load_certificate(folder)
    info = engine.info
    if certificate.covers(info, threshold=threshold, roi_sha256=roi_sha256):
        return certificate
    found = VerificationSet.load(folder / VERIFICATION_NAME)
    pairs = [
        (judge(engine.infer(image)), judge(EngineOutput(float(score), anomaly_map)))
        for image, anomaly_map, score in zip(*found, strict=True)
    ]
    comparison = compared(pairs, threshold=threshold)
    failure = comparison.failure(certificate.limit)
    if failure is not None:
        raise EngineError(
            f"engine {info.model_id} for {info.runtime} {info.precision} on {info.device}: {failure}. "
            "It must not be used. Build it again on this machine, or with --precision fp32: build_engine"
        )
    verified = msgspec.structs.replace(
        certificate,
        status=VERIFIED,
        proven=f"the engine ran on {info.device} at a start of the station",
        engine=info,
        parts=f"{len(pairs)} images that travelled with the engine",
        comparison=comparison,
        roi_sha256=roi_sha256,
        created_utc=now_utc(),
    )
    try:
        write_record(verified, folder / FILE_NAME)
    except OSError as error:
        raise EngineError(
            f"{folder / FILE_NAME}: cannot be written ({error.strerror}); the engine was verified on "
            "this device and its certificate must say so. Make the folder writable once."
        ) from error
    return verified
