"""Build an engine for a target and certify that it computes what the model computes.

What is built lies in `engines/<target>-<precision>/` of the model's folder: files, sidecar, certificate,
and a few images with their reference results, by which a station verifies the engine where it could not run
here.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from engines import certificate as certificates
from engines.certificate import LIMITS, NOT_VERIFIED, VERIFIED, Certificate
from engines.compare import ScoreLimit, compared
from engines.engine import EngineError, EngineOutput
from engines.folders import whole_folder
from engines.load import open_engine
from engines.manifest import load_model
from engines.plan import build_files, device_of, runnable
from engines.precision import make_graph
from engines.records import now_utc, write_record
from engines.sidecar import FILE_NAME, Sidecar
from engines.targets import BINDINGS, check_combination, engine_folder
from engines.verification import VERIFICATION_NAME, VerificationSet, chosen

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from engines.manifest import Manifest
    from engines.precision import Graph
    from engines.targets import Precision, Runtime

    Judge = Callable[[EngineOutput], EngineOutput]
    Progress = Callable[[str, int, int], None]

REFERENCE: Runtime = "onnxruntime"


class BuildRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What to build.

    `compute_capabilities` such as "8.6" are TensorRT-RTX's; empty takes the GPU here. `workspace_mb` and
    `timing_cache` are the builder's. `score_limit` is the largest error as a share of the threshold, None for
    the precision's own (`engines.certificate.LIMITS`).
    """

    model_dir: Path
    target: Runtime
    precision: Precision
    threads: int
    compute_capabilities: tuple[str, ...] = ()
    workspace_mb: int | None = None
    timing_cache: Path | None = None
    batch: int = 1
    score_limit: float | None = None

    @property
    def limit(self) -> ScoreLimit:
        """The score error that the engine may have."""
        usual = LIMITS[self.precision]
        return usual if self.score_limit is None else msgspec.structs.replace(usual, share=self.score_limit)


class CalibrationParts(NamedTuple):
    """Images that an engine is built and certified on, each raw.

    `defective` are the good ones with synthetic defects. `ranges` are others, good and with defects in turn,
    from which INT8 takes its ranges. `real` tells images of parts from drawn patterns; `source` says what
    they are.
    """

    good: list[NDArray[np.uint8]]
    defective: list[NDArray[np.uint8]]
    ranges: Sequence[NDArray[np.uint8]]
    source: str
    real: bool

    @property
    def images(self) -> list[NDArray[np.uint8]]:
        """All, good and defective in turn, so that the first ones are of both."""
        pairs = zip(self.good, self.defective, strict=True)
        return [image for pair in pairs for image in pair]


class Judging(NamedTuple):
    """What a station judges by: the threshold, and the region of interest applied by `judge`."""

    threshold: float
    judge: Judge
    roi_sha256: str | None


class Built(NamedTuple):
    """What was built, and where."""

    folder: Path
    sidecar: Sidecar
    certificate: Certificate
    graph_nodes: int
    model_bytes: int


def build(request: BuildRequest, parts: CalibrationParts, judging: Judging, progress: Progress) -> Built:
    """Build, certify, and only then let the folder take its name.

    Raises:
        EngineError: the combination does not exist, the model or the images cannot be used, the target's
            library is missing or refuses, the disk is full, or the engine is not equivalent. Nothing is left
            behind then, and an engine that was there before stays.
    """
    check_request(request, parts)
    manifest, onnx = load_model(request.model_dir)
    out = engine_folder(request.model_dir, request.target, request.precision)
    try:
        with whole_folder(out) as folder:
            built = _build(request, parts, judging, progress, manifest, onnx, folder)
    except OSError as error:
        raise EngineError(
            f"{out}: cannot be written ({error.strerror or error}); nothing was kept. Free space or "
            "correct the rights."
        ) from error
    return built._replace(folder=out)


def check_request(request: BuildRequest, parts: CalibrationParts) -> None:
    """Refuse before the long work what cannot be built.

    Raises:
        EngineError: as `build`.
    """
    check_combination(request.target, request.precision)
    if request.batch != 1:
        raise EngineError(
            f"--batch: found {request.batch}, expected 1: the exported graph takes one image, as a "
            "line does with one part. For more parts a second, run one station a camera."
        )
    if request.precision == "int8" and not parts.real:
        raise EngineError(
            "--precision int8: found no calibration parts, expected images of good parts, whose "
            "ranges fix its steps. Add: --images DIR"
        )


def _build(  # noqa: PLR0917 - told apart by type
    request: BuildRequest,
    parts: CalibrationParts,
    judging: Judging,
    progress: Progress,
    manifest: Manifest,
    onnx: bytes,
    folder: Path,
) -> Built:
    graph = make_graph(
        onnx,
        request.precision if request.target in BINDINGS else "fp32",  # NNCF quantises OpenVINO's own model
        parts.images,
        parts.ranges,
        threshold=judging.threshold,
        score_limit=request.limit.share,
        threads=request.threads,
        where=request.model_dir,
        progress=progress,
    )
    sidecar = build_files(request, manifest, graph, parts.ranges, folder, progress)
    write_record(sidecar, folder / FILE_NAME)
    certificate = _certify(request, parts, judging, progress, manifest, graph, sidecar, folder)
    write_record(certificate, folder / certificates.FILE_NAME)
    return Built(folder, sidecar, certificate, graph.nodes, len(onnx))


def _certify(  # noqa: PLR0917 - told apart by type
    request: BuildRequest,
    parts: CalibrationParts,
    judging: Judging,
    progress: Progress,
    manifest: Manifest,
    graph: Graph,
    sidecar: Sidecar,
    folder: Path,
) -> Certificate:
    """Compare engine and reference, or say why not; keep the images that the station verifies by."""
    images = parts.images
    runs = runnable(sidecar)
    with open_engine(request.model_dir, runtime=REFERENCE, threads=request.threads) as reference:
        expected = _results(reference.infer, images, progress, "reference")
    keep = chosen(len(images), images[0].nbytes)
    VerificationSet(
        np.stack([images[i] for i in keep]),
        np.stack([expected[i].anomaly_map for i in keep]),
        np.array([expected[i].score for i in keep], np.float32),
    ).save(folder / VERIFICATION_NAME)
    if runs:
        with open_engine(
            request.model_dir,
            runtime=request.target,
            precision=request.precision,
            threads=request.threads,
            folder=folder,
        ) as engine:
            found, info = _results(engine.infer, images, progress, "engine"), engine.info
            proven = f"the engine ran on {info.device}"
    else:
        runner = graph.runner(request.threads)
        found = _results(runner.infer, images, progress, "its graph on the CPU")
        info = device_of(sidecar, manifest)
        proven = graph.proof
    pairs = [(judging.judge(a), judging.judge(b)) for a, b in zip(found, expected, strict=True)]
    comparison = compared(pairs, threshold=judging.threshold)
    failure = comparison.failure(request.limit)
    if failure is not None:
        stage = (
            graph.lost_stage(images[:4], request.threads)
            if request.precision == graph.precision
            else "Eight bits are too few for this part. Use --precision fp32."  # quantised behind the graph
        )
        raise EngineError(
            f"engine {manifest.model_id} for {request.target} {request.precision}: {failure}. {stage} "
            "Nothing was kept."
        )
    return Certificate(
        status=VERIFIED if runs else NOT_VERIFIED,
        proven=proven,
        engine=info,
        reference=f"{REFERENCE} fp32",
        parts=parts.source,
        comparison=comparison,
        limit=request.limit,
        roi_sha256=judging.roi_sha256,
        created_utc=now_utc(),
    )


def _results(
    infer: Callable[[NDArray[np.uint8]], EngineOutput],
    images: list[NDArray[np.uint8]],
    progress: Progress,
    what: str,
) -> list[EngineOutput]:
    results = []
    for done, image in enumerate(images, 1):
        results.append(infer(image))
        progress(f"comparing: {what}", done, len(images))
    return results
