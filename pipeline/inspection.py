"""Stage 2, one process: frame, engine, calibration and region of interest make a prediction."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import cv2
import msgspec
import numpy as np

from calibration.frame_measures import measure
from calibration.inspected import inspected_output
from calibration.record import CalibrationError
from engines.engine import EngineError
from pipeline import realtime
from pipeline.heatmaps import pack_heatmap
from pipeline.inspection_start import open_inspection
from pipeline.internal import (
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
from pipeline.recipes.recipe import RecipeError
from pipeline.ring import Ring
from pipeline.worker import Link, fail_start, read_start

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from calibration.calibrated import Calibrated
    from engines.engine import Engine

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
    start: InspectionStart,
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
        answer, payload = answer_request(engine, calibrated, rings[request.header.camera], request, start)
        link.send(answer, payload)


def answer_request(
    engine: Engine, calibrated: Calibrated, ring: Ring, request: Inspect, start: InspectionStart
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
        payload, raw_bytes, crc32 = pack_heatmap(found.heatmap, start.codec)
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
        changes=start.changes,
        model_sha256=engine.info.model_sha256,
        measures=measure(pixels, calibrated.sample),
    )
    return answer, payload


def main() -> None:
    """Load engine, calibration and region of interest, report ready, answer until told to stop."""
    start = read_start(InspectionStart)
    link = Link(start.endpoint)
    cv2.setNumThreads(1)
    # First of all: the runtime's threads take over what this one has. Its cores are the engine's own setting.
    refused = realtime.stand_by() if start.standby else realtime.apply(start.realtime, cores=None)
    try:
        engine, calibrated, ready = open_inspection(start, refused=refused)
    except (EngineError, CalibrationError, RecipeError) as error:
        fail_start(link, str(error))
    rings = {
        spec.camera: Ring(spec.fd, slots=spec.slots, slot_bytes=spec.slot_bytes, writable=False)
        for spec in start.rings
    }
    garbage = GarbageCollector()
    with link, engine:
        link.send(ready)
        serve(engine, calibrated, rings, link, start, garbage)


if __name__ == "__main__":
    main()
