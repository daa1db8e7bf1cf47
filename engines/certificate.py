"""certificate.json: proof that an engine computes what its model computes, or how much of that is proven."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from engines.compare import Comparison, ScoreLimit
from engines.engine import EngineError, EngineInfo
from engines.records import read_record

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = "hlgfa.certificate/1.2"
FILE_NAME = "certificate.json"
LIMITS = {"fp32": ScoreLimit(0.01), "fp16": ScoreLimit(0.01), "int8": ScoreLimit(0.1, "score")}
"""Score error that an engine of a precision may have by default; why INT8 more: docs/decisions/0022."""
VERIFIED: Literal["verified"] = "verified"
NOT_VERIFIED: Literal["not verified on this machine"] = "not verified on this machine"


class Certificate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Comparison with the FP32 reference.

    `status` tells whether the engine itself ran; if not, `proven` says what did in its place, and the station
    verifies the engine at its first start. `parts` says what images were compared. `roi_sha256` is the region
    of interest that the scores were taken under, None for the whole image.
    """

    schema: str = SCHEMA
    status: Literal["verified", "not verified on this machine"]
    proven: str
    engine: EngineInfo
    reference: str
    parts: str
    comparison: Comparison
    limit: ScoreLimit
    roi_sha256: str | None
    created_utc: str

    def covers(self, info: EngineInfo, *, threshold: float, roi_sha256: str | None) -> bool:
        """Whether this very engine was verified on this device, with this threshold and region."""
        return (
            self.status == VERIFIED
            and msgspec.structs.replace(self.engine, memory=None, note=None)
            == msgspec.structs.replace(info, memory=None, note=None)
            and (self.comparison.threshold, self.roi_sha256) == (threshold, roi_sha256)
        )


def load_certificate(folder: Path) -> Certificate:
    """Read the certificate of an engine's folder.

    Raises:
        EngineError: there is none, or it cannot be read.
    """
    missing, do = "an engine runs only with its certificate", "Build the engine again: build_engine"
    return read_record(folder / FILE_NAME, Certificate, SCHEMA, EngineError, missing=missing, do=do)
