"""Build an engine for a target and certify that it computes what the model computes.

The CPU runtimes compile when they load, so what is built for them is the proof: the certificate in
`engines/<target>-<precision>/` of the model's folder.
"""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

import msgspec

from engines.compare import Comparison, compare
from engines.engine import EngineError, EngineInfo
from engines.load import Runtime, open_engine
from engines.records import write_record

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

REFERENCE: Runtime = "onnxruntime"
SCORE_LIMIT = 0.01
"""Largest score error, as a fraction of the threshold."""
CERTIFICATE = "certificate.json"


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """Proof that an engine computes the same as the reference, on how many images, and how nearly."""

    schema: str = "hlgfa.certificate/1.0"
    engine: EngineInfo
    reference: str
    comparison: Comparison
    score_limit: float
    created_utc: str


def build(
    model_dir: Path,
    *,
    target: Runtime,
    threads: int,
    images: Iterable[NDArray[np.uint8]],
    threshold: float,
) -> Certificate:
    """Load the target's engine, compare it with the reference, write the certificate and return it.

    Raises:
        EngineError: the engine cannot be loaded, or is not equivalent; nothing is written then.
    """
    with (
        open_engine(model_dir, runtime=target, threads=threads) as engine,
        open_engine(model_dir, runtime=REFERENCE, threads=threads) as reference,
    ):
        comparison = compare(engine, reference, images, threshold=threshold)
        info = engine.info
    failure = comparison.failure(score_limit=SCORE_LIMIT)
    if failure is not None:
        raise EngineError(f"engine {info.model_id} for {target}: {failure}. It must not be used.")
    certificate = Certificate(
        engine=info,
        reference=f"{REFERENCE} fp32",
        comparison=comparison,
        score_limit=SCORE_LIMIT,
        created_utc=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    )
    directory = model_dir / "engines" / f"{target}-{info.precision}"
    directory.mkdir(parents=True, exist_ok=True)
    write_record(certificate, directory / CERTIFICATE)
    return certificate
