import math
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from calibration.calibrated import Calibrated, load_calibrated, save_calibrated
from calibration.roi import Roi, inspected_area
from engines.engine import Engine, EngineError
from engines.load import open_engine
from pipeline.inspection import MAX_REGIONS, find_regions, inspect
from pipeline.messages import Region
from support.tiny_model import THRESHOLD, make_calibration, make_model


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return open_engine(make_model(tmp_path_factory.mktemp("model")), runtime="onnxruntime", threads=1)


@pytest.fixture(scope="module")
def calibrated(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Calibrated:
    """Without a region of interest."""
    return load(engine, make_model(tmp_path_factory.mktemp("same")))


@pytest.fixture(scope="module")
def under_roi(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Calibrated:
    """Inspected are the columns 0..31, without a hole of 8x8 in the corner."""
    directory = make_model(tmp_path_factory.mktemp("roi"))
    left, hole = [(0, 0), (32, 0), (32, 64), (0, 64)], [(0, 0), (8, 0), (8, 8), (0, 8)]
    area = inspected_area(Roi(height_px=64, width_px=64, include=[left], exclude=[hole]), None, where="test")
    record = make_calibration(engine.info.model_sha256)
    save_calibrated(directory, area, msgspec.structs.replace(record, roi_sha256=area.sha256))
    return load(engine, directory)


def load(engine: Engine, directory: Path) -> Calibrated:
    info = engine.info
    return load_calibrated(
        directory,
        model_sha256=info.model_sha256,
        size_px=(info.height_px, info.width_px),
        map_shape=(info.map_height, info.map_width),
    )


def part(rows: slice, columns: slice, value: int) -> np.ndarray:
    """A good part with one block of another value."""
    pixels = np.full((64, 64), 128, np.uint8)
    pixels[rows, columns] = value
    return pixels


def test_a_good_part_has_no_region(engine: Engine, calibrated: Calibrated) -> None:
    found = inspect(engine, calibrated, np.full((64, 64), 128, np.uint8))
    assert found.score == 0
    assert found.regions == []
    assert found.heatmap is not None
    assert not found.heatmap.any()


def test_a_defect_has_its_place_in_the_image(engine: Engine, calibrated: Calibrated) -> None:
    pixels = np.full((64, 64), 128, np.uint8)
    pixels[16:32, 40:48] = 228
    found = inspect(engine, calibrated, pixels)
    assert found.score == 100
    [region] = found.regions
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(region), type=Region) == region
    assert region.bbox_px == (40, 16, 8, 16)
    assert region.centroid_px == (43.5, 23.5)
    assert (region.area_px, region.peak) == (128, 100)
    assert found.heatmap is not None
    assert found.heatmap[2:4, 5].tolist() == [200, 200]
    assert np.count_nonzero(found.heatmap) == 2


def test_what_is_not_finite_has_neither_regions_nor_heatmap(engine: Engine, calibrated: Calibrated) -> None:
    pixels = np.full((64, 64), 128, np.uint8)
    pixels[:8, :8] = 1
    found = inspect(engine, calibrated, pixels)
    assert math.isnan(found.score)
    assert (found.regions, found.heatmap) == ([], None)


@pytest.mark.parametrize("place", [(slice(16, 32), slice(40, 48)), (slice(0, 8), slice(0, 8))])
def test_a_defect_outside_the_region_of_interest_is_not_seen(
    engine: Engine, calibrated: Calibrated, under_roi: Calibrated, place: tuple[slice, slice]
) -> None:
    pixels = part(*place, 228)
    assert inspect(engine, calibrated, pixels).score == 100
    found = inspect(engine, under_roi, pixels)
    assert (found.score, found.regions) == (0, [])
    assert found.heatmap is not None
    assert not found.heatmap.any()


def test_a_defect_inside_is_found_as_without_a_region(
    engine: Engine, calibrated: Calibrated, under_roi: Calibrated
) -> None:
    pixels = part(slice(16, 32), slice(8, 16), 228)
    pixels[16:32, 40:48] = 255  # a worse one outside
    found = inspect(engine, under_roi, pixels)
    assert found.score == 100
    assert [region.bbox_px for region in found.regions] == [(8, 16, 8, 16)]
    pixels[16:32, 40:48] = 128
    alone = inspect(engine, calibrated, pixels)
    assert (found.score, found.regions) == (alone.score, alone.regions)
    np.testing.assert_array_equal(found.heatmap, alone.heatmap)


@pytest.mark.parametrize("column", [8, 24, 40, 56])
def test_nan_anywhere_gives_no_score_inside_or_outside(
    engine: Engine, under_roi: Calibrated, column: int
) -> None:
    found = inspect(engine, under_roi, part(slice(8, 16), slice(column, column + 8), 1))
    assert not math.isfinite(found.score)
    assert (found.regions, found.heatmap) == ([], None)


def test_a_wrong_shape_is_an_engine_error(engine: Engine, calibrated: Calibrated) -> None:
    with pytest.raises(EngineError, match=r"found uint8 \(32, 64\), expected uint8 \(64, 64\)"):
        inspect(engine, calibrated, np.zeros((32, 64), np.uint8))


def test_at_most_sixteen_regions_the_worst_first() -> None:
    anomaly_map = np.zeros((32, 32), np.float32)
    anomaly_map[::4, ::4] = np.arange(64).reshape(8, 8) + THRESHOLD
    regions = find_regions(anomaly_map, THRESHOLD, (64, 64))
    assert len(regions) == MAX_REGIONS
    peaks = [region.peak for region in regions]
    assert peaks == sorted(peaks, reverse=True)
    assert peaks[0] == THRESHOLD + 63


@settings(max_examples=50)
@given(
    anomaly_map=hnp.arrays(np.float32, (8, 12), elements=st.floats(0, 100, width=32)),
    threshold=st.floats(1, 99, width=32),
)
def test_there_is_a_region_exactly_if_a_pixel_reaches_the_threshold(
    anomaly_map: np.ndarray, threshold: float
) -> None:
    regions = find_regions(anomaly_map, threshold, (80, 100))
    assert bool(regions) == bool((anomaly_map >= threshold).any())
    for region in regions:
        x, y, width, height = region.bbox_px
        assert 0 <= x < x + width <= 100
        assert 0 <= y < y + height <= 80
        assert region.peak >= threshold
