import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from calibration.record import FILE_NAME, Calibration, load_calibration
from engines.engine import Engine, EngineError
from engines.load import open_engine
from pipeline.inspection import MAX_REGIONS, find_regions, inspect
from pipeline.messages import Region
from support.tiny_model import THRESHOLD, make_model


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return open_engine(make_model(tmp_path_factory.mktemp("model")), runtime="onnxruntime", threads=1)


@pytest.fixture(scope="module")
def calibration(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Calibration:
    directory = make_model(tmp_path_factory.mktemp("same"))
    return load_calibration(directory / FILE_NAME, model_sha256=engine.info.model_sha256)


def test_a_good_part_has_no_region(engine: Engine, calibration: Calibration) -> None:
    found = inspect(engine, calibration, np.full((64, 64), 128, np.uint8))
    assert found.score == 0
    assert found.regions == []
    assert found.heatmap is not None
    assert not found.heatmap.any()


def test_a_defect_has_its_place_in_the_image(engine: Engine, calibration: Calibration) -> None:
    pixels = np.full((64, 64), 128, np.uint8)
    pixels[16:32, 40:48] = 228
    found = inspect(engine, calibration, pixels)
    assert found.score == 100
    [region] = found.regions
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(region), type=Region) == region
    assert region.bbox_px == (40, 16, 8, 16)
    assert region.centroid_px == (43.5, 23.5)
    assert (region.area_px, region.peak) == (128, 100)
    assert found.heatmap is not None
    assert found.heatmap[2:4, 5].tolist() == [200, 200]
    assert np.count_nonzero(found.heatmap) == 2


def test_what_is_not_finite_has_neither_regions_nor_heatmap(engine: Engine, calibration: Calibration) -> None:
    pixels = np.full((64, 64), 128, np.uint8)
    pixels[:8, :8] = 1
    found = inspect(engine, calibration, pixels)
    assert math.isnan(found.score)
    assert (found.regions, found.heatmap) == ([], None)


def test_a_wrong_shape_is_an_engine_error(engine: Engine, calibration: Calibration) -> None:
    with pytest.raises(EngineError, match=r"found uint8 \(32, 64\), expected uint8 \(64, 64\)"):
        inspect(engine, calibration, np.zeros((32, 64), np.uint8))


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
