"""Stage 2, one process: frame, engine, calibration and region of interest make a prediction."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import msgspec
import numpy as np

from calibration.calibrated import Calibrated, load_calibrated
from calibration.frame_measures import measure
from calibration.inspected import inspected_output
from calibration.record import FILE_NAME, CalibrationError
from calibration.threshold import calibrate
from engines.affinity import pin
from engines.engine import EngineError
from engines.load import open_engine
from engines.records import file_sha256
from engines.targets import engine_folder, needs_build
from engines.verification import verify_at_start
from pipeline import realtime
from pipeline.heatmaps import pack_heatmap
from pipeline.internal import (
    EngineReady,
    Inspect,
    Inspected,
    InspectionFailed,
    InspectionStart,
    PackedHeatmap,
    Stop,
    decode_to_inspection,
)
from pipeline.messages import Region
from pipeline.realtime import GarbageCollector
from pipeline.ring import Ring
from pipeline.worker import Link, fail_start, read_start

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from engines.engine import Engine
    from pipeline.config import EngineConfig
    from pipeline.internal import StubSpec

MAX_REGIONS = 16
WAIT_MS = 100


class Inspection(msgspec.Struct, frozen=True):
    """What one frame shows: score in raw units, defect regions, and the heatmap (h, w) uint8."""

    score: float
    regions: list[Region]
    heatmap: NDArray[np.uint8] | None


def inspect(engine: Engine, calibrated: Calibrated, pixels: NDArray[np.uint8]) -> Inspection:
    """Infer one frame; a map or score that is not finite gives neither regions nor a heatmap.

    Outside the region of interest the map counts as 0.0, unless it is not finite there.

    Args:
        engine: loaded engine.
        calibrated: calibration and region of interest of the engine's model.
        pixels: uint8, the engine's raw image shape.

    Raises:
        EngineError: the shape is wrong or the runtime failed.
    """
    calibration = calibrated.calibration
    output = inspected_output(engine.infer(pixels), calibrated.inspected)
    anomaly_map = output.anomaly_map
    if not (np.isfinite(output.score) and np.isfinite(anomaly_map).all()):
        score = output.score if not np.isfinite(output.score) else float("nan")
        return Inspection(score, [], None)
    size = (engine.info.height_px, engine.info.width_px)
    regions = find_regions(anomaly_map, calibration.map_threshold, size)
    scaled = anomaly_map * calibration.heatmap_scale + calibration.heatmap_offset
    heatmap = np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
    return Inspection(output.score, regions, heatmap)


def find_regions(
    anomaly_map: NDArray[np.float32], threshold: float, image_size: tuple[int, int]
) -> list[Region]:
    """Connected regions at or above the threshold, the one with the highest peak first, at most 16.

    Args:
        anomaly_map: (h, w) float32 raw scores.
        threshold: same units.
        image_size: height and width of the raw image in pixels; the regions are given in its pixels.
    """
    mask = (anomaly_map >= threshold).astype(np.uint8)
    count, labels, stats, centroids = cv2.connectedComponentsWithStats(mask, connectivity=8)
    scale_y, scale_x = image_size[0] / anomaly_map.shape[0], image_size[1] / anomaly_map.shape[1]
    regions = []
    for label in range(1, count):
        x, y, width, height, area = (int(value) for value in stats[label])
        left, top = round(x * scale_x), round(y * scale_y)
        box = (left, top, round((x + width) * scale_x) - left, round((y + height) * scale_y) - top)
        # A map pixel's centre is at +0.5, so that map and image share their outer edges.
        column, row = (float(value) for value in centroids[label])
        centre = ((column + 0.5) * scale_x - 0.5, (row + 0.5) * scale_y - 0.5)
        inside = labels[y : y + height, x : x + width] == label
        peak = float(anomaly_map[y : y + height, x : x + width][inside].max())
        area_px = round(area * scale_x * scale_y)
        regions.append(Region(bbox_px=box, centroid_px=centre, area_px=area_px, peak=peak))
    regions.sort(key=lambda region: (-region.peak, region.bbox_px))
    return regions[:MAX_REGIONS]


def serve(  # noqa: PLR0917 - told apart by type
    engine: Engine,
    calibrated: Calibrated,
    rings: dict[str, Ring],
    link: Link,
    codec: str,
    garbage: GarbageCollector,
) -> None:
    """Answer every request until told to stop."""
    while True:
        data = link.receive(WAIT_MS)
        garbage.turn(idle=data is None)
        if data is None:
            link.heartbeat()
            continue
        request = decode_to_inspection(data)
        if isinstance(request, Stop):
            return
        answer, payload = answer_request(engine, calibrated, rings[request.header.camera], request, codec)
        link.send(answer, payload)


def answer_request(
    engine: Engine, calibrated: Calibrated, ring: Ring, request: Inspect, codec: str
) -> tuple[Inspected | InspectionFailed, bytes | None]:
    """Inspect the frame in the slot; an engine's failure is an answer, too."""
    begin_ns = time.monotonic_ns()
    pixels = ring.view(request.slot, request.header.shape)
    try:
        found = inspect(engine, calibrated, pixels)
    except EngineError as error:
        return InspectionFailed(ordinal=request.ordinal, slot=request.slot, text=str(error)), None
    end_ns = time.monotonic_ns()
    packed, payload = None, None
    if found.heatmap is not None:
        payload, raw_bytes, crc32 = pack_heatmap(found.heatmap, codec)
        shape = (found.heatmap.shape[0], found.heatmap.shape[1])
        packed = PackedHeatmap(shape=shape, raw_bytes=raw_bytes, crc32=crc32)
    answer = Inspected(
        ordinal=request.ordinal,
        slot=request.slot,
        score=found.score,
        regions=found.regions,
        infer_start_ns=begin_ns,
        infer_end_ns=end_ns,
        heatmap=packed,
        measures=measure(pixels),
    )
    return answer, payload


def open_verified(config: EngineConfig) -> tuple[Engine, Calibrated]:
    """Engine and what its results are judged by; an engine that was built is verified on this very device.

    Raises:
        EngineError: the engine cannot be loaded, or does not compute here what its model computes.
        CalibrationError: the model has no calibration that fits.
    """
    model_dir, runtime, precision = Path(config.model), config.runtime, config.precision
    if config.cores is not None:
        pin(config.cores)  # before the runtime starts its threads
    engine = open_engine(
        model_dir, runtime=runtime, precision=precision, threads=config.threads, spinning=config.spinning
    )
    try:
        info = engine.info
        calibrated = load_calibrated(
            model_dir,
            model_sha256=info.model_sha256,
            size_px=(info.height_px, info.width_px),
            map_shape=(info.map_height, info.map_width),
        )
        if needs_build(runtime, precision):
            verify_at_start(
                engine,
                engine_folder(model_dir, runtime, precision),
                threshold=calibrated.calibration.threshold,
                roi_sha256=None if calibrated.area is None else calibrated.area.sha256,
                judge=lambda output: inspected_output(output, calibrated.inspected),
            )
    except BaseException:
        engine.close()
        raise
    return engine, calibrated


def _stubbed(spec: StubSpec) -> tuple[Engine, Calibrated]:
    """An engine that waits, and a calibration under which it rejects everything."""
    from engines.stub_engine import StubEngine

    engine = StubEngine(
        height_px=spec.height_px, width_px=spec.width_px, channels=spec.channels, wait_ms=spec.wait_ms
    )
    calibration = calibrate(
        np.linspace(0.1, 1.0, 100, dtype=np.float64), rate=0.01, model_sha256=engine.info.model_sha256
    )
    return engine, Calibrated(calibration, None, None)


def main() -> None:
    """Load engine, calibration and region of interest, report ready, answer until told to stop."""
    start = read_start(InspectionStart)
    link = Link(start.endpoint)
    cv2.setNumThreads(1)
    # First of all: the runtime's threads take over what this one has. Its cores are the engine's own setting.
    refused = realtime.apply(start.realtime, cores=None)
    model_dir = Path(start.engine.model)
    try:
        engine, calibrated = open_verified(start.engine) if start.stub is None else _stubbed(start.stub)
    except (EngineError, CalibrationError) as error:
        fail_start(link, str(error))
    calibration = calibrated.calibration
    rings = {
        spec.camera: Ring(spec.fd, slots=spec.slots, slot_bytes=spec.slot_bytes, writable=False)
        for spec in start.rings
    }
    garbage = GarbageCollector()
    with link, engine:
        link.send(
            EngineReady(
                info=engine.info,
                threshold=calibration.threshold,
                map_threshold=calibration.map_threshold,
                heatmap_scale=calibration.heatmap_scale,
                heatmap_offset=calibration.heatmap_offset,
                calibration_sha256=file_sha256(model_dir / FILE_NAME) if start.stub is None else "0" * 64,
                good_scores=calibration.good_scores,
                review=calibration.review,
                refused=refused,
            )
        )
        serve(engine, calibrated, rings, link, start.codec, garbage)


if __name__ == "__main__":
    main()
