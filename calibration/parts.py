"""parts.json: which good parts training saw, by content, so that calibration can leave them out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from calibration.record import CalibrationError
from engines.records import read_record, write_record

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = "hlgfa.parts/1.1"
FILE_NAME = "parts.json"


class Part(msgspec.Struct, frozen=True):
    """One image file: its name below the data folder and the SHA-256 of its bytes."""

    name: str
    sha256: str


class HeldOutPart(msgspec.Struct, frozen=True):
    """A part with the image scores that a fit gives it which did not see it.

    `disturbed_score` is that of its image with nuisances as training injects them, None if it injects none.
    """

    name: str
    sha256: str
    score: float
    disturbed_score: float | None = None


class Parts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The good parts of one model, by use; `calibration.dataset.Split` says what each is for.

    Scores of `hold_out` are the exported model's. Where nothing was held out, `left_out` has the parts of
    `fit` with the scores of fits of the same kind that left them out (`calibration.cross_fit`). `roi_sha256`
    is the hash of the region of interest that scores were taken under, None if there was none.
    """

    schema: str = SCHEMA
    model_sha256: str
    fit: list[Part]
    hold_out: list[HeldOutPart]
    left_out: list[HeldOutPart] = []
    roi_sha256: str | None = None

    @property
    def seen(self) -> frozenset[str]:
        """Hashes of the parts that training saw."""
        return frozenset(part.sha256 for part in self.fit)

    @property
    def scored(self) -> list[HeldOutPart]:
        """Parts with scores that a threshold can be taken from."""
        return self.hold_out or self.left_out


def save_parts(parts: Parts, path: Path) -> None:
    """Write the record; a reader never sees half of it."""
    write_record(parts, path)


def load_parts(path: Path, *, model_sha256: str) -> Parts:
    """Read the record that belongs to the model with this hash.

    Raises:
        CalibrationError: there is none, it cannot be read, or it was made for another model.
    """
    do = f"Train the model again, or copy the whole folder {path.parent}."
    missing = "it says which parts training saw"
    parts = read_record(path, Parts, None, CalibrationError, missing=missing, do=do)
    if parts.schema != SCHEMA or parts.model_sha256 != model_sha256:
        raise CalibrationError(
            f"{path}: found {parts.schema} of model {parts.model_sha256[:12]}, expected {SCHEMA} of "
            f"{model_sha256[:12]}. {do}"
        )
    return parts
