"""The region of interest: what is refused, which map pixels it inspects, and what it leaves of a result."""

import io
import math
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from calibration.calibrated import load_calibrated, save_calibrated
from calibration.inspected import apply, enlarged, inspected_output, inspected_share, map_mask
from calibration.polygons import MAX_VERTICES, filled, polygon_fault
from calibration.record import CalibrationError
from calibration.roi import FILE_NAME, Roi, inspected_area, load_roi, read_roi, save_roi
from engines.engine import EngineOutput
from support.tiny_model import make_calibration

SIZE = (40, 60)
SQUARE = [(10.0, 10.0), (30.0, 10.0), (30.0, 30.0), (10.0, 30.0)]
BOW_TIE = [(10.0, 10.0), (30.0, 30.0), (30.0, 10.0), (10.0, 30.0)]


def png(values: np.ndarray, mode: str | None = None) -> bytes:
    buffer = io.BytesIO()
    image = Image.fromarray(values)
    (image if mode is None else image.convert(mode)).save(buffer, format="PNG")
    return buffer.getvalue()


def write(folder: Path, mask: bytes | None = None, **fields: object) -> Path:
    raw = {"height_px": SIZE[0], "width_px": SIZE[1], **fields}
    if mask is not None:
        (folder / "mask.png").write_bytes(mask)
        raw = {"ignore_mask": "mask.png", **raw}
    path = folder / FILE_NAME
    path.write_bytes(msgspec.json.encode(raw))
    return path


def half_ignored() -> np.ndarray:
    values = np.zeros(SIZE, np.uint8)
    values[:, 30:] = 1
    return values


@st.composite
def star_polygons(draw: st.DrawFn) -> list[tuple[float, float]]:
    """Corners in order of their angle about a centre: any such polygon is free of crossings."""
    count = draw(st.integers(3, 9))
    radii = draw(st.lists(st.floats(2, 18), min_size=count, max_size=count))
    turn, x, y = draw(st.floats(0, 6)), draw(st.floats(20, 40)), draw(st.floats(18, 22))
    angles = turn + np.arange(count) * 2 * np.pi / count
    corners = zip(x + np.cos(angles) * radii, y + np.sin(angles) * radii, strict=True)
    return [(float(a), float(b)) for a, b in corners]


def inside(polygon: list[tuple[float, float]], x: float, y: float) -> bool:
    """Whether a ray to the right crosses the outline an odd number of times."""
    crossings = 0
    for (x0, y0), (x1, y1) in zip(polygon, [*polygon[1:], polygon[0]], strict=True):
        if (y0 > y) != (y1 > y) and x < x0 + (y - y0) * (x1 - x0) / (y1 - y0):
            crossings += 1
    return crossings % 2 == 1


@settings(max_examples=30, deadline=None)
@given(include=star_polygons(), exclude=star_polygons())
def test_the_map_inspects_what_a_slow_area_computation_says(
    include: list[tuple[float, float]], exclude: list[tuple[float, float]]
) -> None:
    """16 samples a pixel, against the area of 40x60 pixels in map pixels of 5.71 x 5."""
    rows, columns, fine = 7, 12, 4
    roi = Roi(height_px=SIZE[0], width_px=SIZE[1], include=[include], exclude=[exclude])
    samples = np.array(
        [
            [
                inside(include, (x + 0.5) / fine, (y + 0.5) / fine)
                and not inside(exclude, (x + 0.5) / fine, (y + 0.5) / fine)
                for x in range(SIZE[1] * fine)
            ]
            for y in range(SIZE[0] * fine)
        ]
    )
    row = ((np.arange(SIZE[0] * fine) + 0.5) / fine * rows / SIZE[0]).astype(int)
    column = ((np.arange(SIZE[1] * fine) + 0.5) / fine * columns / SIZE[1]).astype(int)
    slow = np.zeros((rows, columns))
    np.add.at(slow, (row[:, None], column[None, :]), samples)
    slow /= np.bincount(row)[:, None] * np.bincount(column)[None, :]
    try:
        area = inspected_area(roi, None, where="test")
    except CalibrationError:
        assert slow.max() < 0.1
        return
    share = inspected_share(area.pixels, (rows, columns))
    assert np.abs(share - slow).max() < 0.12  # of 28 pixels, those that the outline passes through
    assert np.abs(share - slow).mean() < 0.02
    assert share.sum() * SIZE[0] / rows * SIZE[1] / columns == pytest.approx(area.pixels.sum())
    if (share >= 0.5).any():
        mask = map_mask(area, (rows, columns))
        assert mask[slow > 0.62].all()
        assert not mask[slow < 0.38].any()


@settings(max_examples=60, deadline=None)
@given(polygon=st.lists(st.tuples(st.floats(0, 12), st.floats(0, 9)), min_size=3, max_size=8))
def test_a_pixel_is_inside_exactly_if_its_centre_is(polygon: list[tuple[float, float]]) -> None:
    """Whatever the polygon, crossings too: by the even-odd rule."""
    edges = zip(polygon, [*polygon[1:], polygon[0]], strict=True)
    # A centre on the outline, up to rounding, may fall to either side.
    assume(
        all(abs(_gap(edge, x + 0.5, y + 0.5)) > 1e-9 for edge in edges for y in range(9) for x in range(12))
    )
    expected = [[inside(polygon, x + 0.5, y + 0.5) for x in range(12)] for y in range(9)]
    np.testing.assert_array_equal(filled(polygon, (9, 12)), expected)


def _gap(edge: tuple[tuple[float, float], tuple[float, float]], x: float, y: float) -> float:
    """Horizontal distance of a point to an edge; large if the point's row misses it."""
    (x0, y0), (x1, y1) = edge
    if not min(y0, y1) - 1e-9 <= y <= max(y0, y1) + 1e-9:
        return 1.0
    return 0.0 if abs(y1 - y0) < 1e-6 else x - (x0 + (y - y0) * (x1 - x0) / (y1 - y0))


def test_the_corners_of_the_image_enclose_all_of_it() -> None:
    height, width = SIZE
    assert filled([(0, 0), (width, 0), (width, height), (0, height)], SIZE).all()
    assert filled(SQUARE, SIZE).sum() == 400
    assert filled(SQUARE[::-1], SIZE).sum() == 400


@settings(max_examples=40, deadline=None)
@given(
    pixels=hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=30)),
    shape=st.tuples(st.integers(1, 40), st.integers(1, 40)),
)
def test_shares_keep_the_area_at_any_pair_of_sizes(pixels: np.ndarray, shape: tuple[int, int]) -> None:
    """Maps finer than the image, too."""
    share = inspected_share(pixels, shape)
    assert share.min() >= 0
    assert share.max() <= 1 + 1e-9
    assert share.mean() == pytest.approx(pixels.mean(), abs=1e-9)


@pytest.mark.parametrize(("right", "columns"), [(28, 7), (29, 7), (30, 8), (31, 8), (32, 8)])
def test_half_a_map_pixel_is_enough_and_less_is_not(right: int, columns: int) -> None:
    roi = Roi(height_px=40, width_px=60, include=[[(0, 0), (right, 0), (right, 40), (0, 40)]])
    mask = map_mask(inspected_area(roi, None, where="test"), (10, 15))  # map pixels of 4x4
    assert mask.any(axis=0).sum() == columns
    assert mask[:, :columns].all()


def test_include_exclude_and_mask_together(tmp_path: Path) -> None:
    hole = [(12, 12), (16, 12), (16, 16), (12, 16)]
    area = read_roi(write(tmp_path, png(half_ignored()), include=[SQUARE, BOW_TIE[:3]], exclude=[hole]), SIZE)
    assert area.pixels.sum() == 400 - 16
    assert not area.pixels[12:16, 12:16].any()
    whole = read_roi(write(tmp_path, png(half_ignored())), SIZE)
    assert whole.pixels.sum() == 40 * 30


@pytest.mark.parametrize("mode", ["1", "L", "RGB"])
def test_a_mask_of_any_plain_kind_is_read(tmp_path: Path, mode: str) -> None:
    path = write(tmp_path, png(half_ignored() * np.uint8(255), mode))
    assert read_roi(path, SIZE).pixels.sum() == 40 * 30


def test_a_folder_without_a_region_inspects_everything(tmp_path: Path) -> None:
    assert load_roi(tmp_path, SIZE) is None


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"include": [SQUARE[:2]]}, r"include\[0\]: found 2 vertices, expected 3 to 1000"),
        ({"include": [[(i % 60, i % 40) for i in range(1001)]]}, "found 1001 vertices"),
        ({"exclude": [SQUARE, [*SQUARE, (61, 5)]]}, r"exclude\[1\]: found the vertex \[61, 5\].*<= 60"),
        ({"include": [[*SQUARE, (5, -0.5)]]}, r"found the vertex \[5, -0.5\]"),
        ({"include": [[(5, 5), (10, 10), (20, 20)]]}, "enclose no area"),
        ({"include": [BOW_TIE]}, r"found edges 0 and 2 crossing"),
        ({"include": [SQUARE], "exclude": [SQUARE]}, "found no pixel of 40x60 left to inspect"),
        ({"height_px": 41}, "drawn on an image of 41x60 pixels, expected 40x60"),
        ({"include": [[[1, 2, 3]]]}, r"cannot be read as a region of interest .*\$.include"),
        ({"includes": [SQUARE]}, "unknown field `includes`"),
        ({"schema": "hlgfa.roi/2.0"}, "found schema 'hlgfa.roi/2.0', expected 'hlgfa.roi/1.0'"),
        ({"ignore_mask": "other.png"}, r"other.png: cannot be read .*Copy it beside roi.json"),
        ({"ignore_mask": "../mask.png"}, "expected the name of a PNG file beside it"),
        ({"ignore_mask": "mask.bmp"}, "expected the name of a PNG file beside it"),
    ],
)
def test_what_cannot_be_used_is_refused(tmp_path: Path, fields: dict[str, object], words: str) -> None:
    with pytest.raises(CalibrationError, match=words):
        read_roi(write(tmp_path, **fields), SIZE)


@pytest.mark.parametrize(
    "text", ["", "[]", '{"schema": "é"}', '{"height_px": 40, "width_px": 60, "include": [[[NaN, 1]]]}']
)
def test_what_is_no_region_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE_NAME).write_text(text, encoding="latin-1")
    with pytest.raises(CalibrationError, match="cannot be read as a region of interest"):
        load_roi(tmp_path, SIZE)


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (png(np.zeros((40, 59), np.uint8)), "found 40x59 pixels, expected 40x60"),
        (png(np.ones(SIZE, np.uint8)), "left to inspect"),
        (png(np.zeros((*SIZE, 4), np.uint8)), "found pixels of kind 'RGBA'"),
        (cv2.imencode(".png", np.ones(SIZE, np.uint16))[1].tobytes(), "found pixels of kind 'I;16"),
        (cv2.imencode(".png", np.ones((*SIZE, 3), np.uint16))[1].tobytes(), "found pixels of kind 'RGB;16"),
        (png(half_ignored())[:60], "cannot be decoded"),
        (b"GIF89a", "cannot be decoded"),
    ],
)
def test_a_mask_that_cannot_be_used_is_refused(tmp_path: Path, mask: bytes, words: str) -> None:
    with pytest.raises(CalibrationError, match=words):
        read_roi(write(tmp_path, mask), SIZE)


def test_a_polygon_of_the_most_vertices_is_checked_in_full() -> None:
    angles = np.arange(MAX_VERTICES) * 2 * np.pi / MAX_VERTICES
    circle = [(30 + 15 * math.cos(a), 20 + 15 * math.sin(a)) for a in angles]
    assert polygon_fault(circle, SIZE) is None
    circle[3], circle[700] = circle[700], circle[3]
    assert "crossing" in (polygon_fault(circle, SIZE) or "")


def test_a_region_smaller_than_half_a_map_pixel_is_refused() -> None:
    roi = Roi(height_px=40, width_px=60, include=[[(0, 0), (2, 0), (2, 2), (0, 2)]])
    with pytest.raises(
        CalibrationError, match=r"no pixel of the 8x12 anomaly map.*a map pixel is 5x5 pixels"
    ):
        map_mask(inspected_area(roi, None, where="test"), (8, 12))


def test_the_hash_is_of_the_content_not_of_names_or_spaces(tmp_path: Path) -> None:
    mask = png(half_ignored())
    first = read_roi(write(tmp_path, mask, include=[SQUARE]), SIZE)
    (tmp_path / "saved").mkdir()
    written = save_roi(first, tmp_path / "saved" / FILE_NAME)
    again = load_roi(tmp_path / "saved", SIZE)
    assert again is not None
    assert again.sha256 == first.sha256
    assert again.roi == written
    assert written.ignore_mask != "mask.png"
    np.testing.assert_array_equal(again.pixels, first.pixels)
    other_mask = half_ignored()
    other_mask[0, 0] = 1
    others = [
        read_roi(write(tmp_path, mask, exclude=[SQUARE]), SIZE),
        read_roi(write(tmp_path, mask), SIZE),
        read_roi(write(tmp_path, png(other_mask), include=[SQUARE]), SIZE),
        read_roi(write(tmp_path, include=[SQUARE]), SIZE),
    ]
    assert len({first.sha256, *(other.sha256 for other in others)}) == 5


@settings(max_examples=60)
@given(
    anomaly_map=hnp.arrays(np.float32, (6, 7), elements=st.floats(-5, 50, width=32)),
    mask=hnp.arrays(np.bool_, (6, 7)),
)
def test_the_score_is_the_largest_inspected_value(anomaly_map: np.ndarray, mask: np.ndarray) -> None:
    assume(mask.any())
    before = anomaly_map.copy()
    masked, score = apply(anomaly_map, mask)
    assert score == anomaly_map[mask].max()
    assert masked.dtype == np.float32
    assert (masked[~mask] == 0).all()
    np.testing.assert_array_equal(masked[mask], anomaly_map[mask])
    np.testing.assert_array_equal(anomaly_map, before)
    everything = inspected_output(EngineOutput(float(before.max()), before), np.ones_like(mask))
    assert everything.score == before.max()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [(0, 0), (3, 3)])
def test_what_is_not_finite_is_never_a_score(value: float, place: tuple[int, int]) -> None:
    """Outside the region, too: an engine that gives it anywhere is broken."""
    anomaly_map, mask = np.zeros((4, 4), np.float32), np.zeros((4, 4), bool)
    mask[3, 3] = True
    anomaly_map[place] = value
    assert math.isnan(apply(anomaly_map, mask)[1])
    assert not np.isfinite(apply(anomaly_map, mask)[0]).all()


def test_a_score_that_is_not_finite_stays_so_over_a_finite_map() -> None:
    output = EngineOutput(float("inf"), np.zeros((4, 4), np.float32))
    assert inspected_output(output, np.ones((4, 4), bool)).score == float("inf")


def test_a_map_of_another_shape_is_refused() -> None:
    with pytest.raises(CalibrationError, match=r"anomaly map of \(4, 4\), expected \(4, 5\)"):
        apply(np.zeros((4, 4), np.float32), np.ones((4, 5), bool))


@pytest.mark.parametrize("size", [(40, 60), (41, 59), (8, 12), (5, 7)])
def test_an_enlarged_mask_has_the_value_of_the_map_pixel_below(size: tuple[int, int]) -> None:
    mask = np.random.default_rng(0).random((8, 12)) < 0.5
    large = enlarged(mask, size)
    for y in range(size[0]):
        for x in range(size[1]):
            assert large[y, x] == mask[int((y + 0.5) * 8 / size[0]), int((x + 0.5) * 12 / size[1])]


class KilledError(Exception):
    """Stands for a process that is killed."""


@pytest.mark.parametrize("old", [None, "square", "mask"])
@pytest.mark.parametrize("new", [None, "square", "mask"])
@pytest.mark.parametrize("stop_at", range(8))
def test_a_crash_never_leaves_a_threshold_under_another_region(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str | None, new: str | None, stop_at: int
) -> None:
    """Stopped before the n-th change of a file, the folder holds the old pair, the new one, or is refused."""
    areas = {
        "square": inspected_area(Roi(height_px=40, width_px=60, include=[SQUARE]), None, where="test"),
        "mask": inspected_area(Roi(height_px=40, width_px=60), png(half_ignored()), where="test"),
    }
    pairs = {}
    for threshold, name in ((1.0, old), (2.0, new)):
        area = areas.get(name) if name else None
        record = make_calibration("ab" * 32, threshold=threshold)
        pairs[threshold] = area, msgspec.structs.replace(record, roi_sha256=area and area.sha256)
    save_calibrated(tmp_path, *pairs[1.0])
    with monkeypatch.context() as patch:
        _stop_before_change(patch, stop_at)
        try:
            save_calibrated(tmp_path, *pairs[2.0])
            stopped = False
        except KilledError:
            stopped = True
    place = {"model_sha256": "ab" * 32, "size_px": SIZE, "map_shape": (8, 12)}
    try:
        found = load_calibrated(tmp_path, **place)  # type: ignore[arg-type]
    except CalibrationError as error:
        assert stopped
        assert "found a threshold under" in str(error)  # noqa: PT017 - either outcome is right
    else:
        expected = pairs[found.calibration.threshold][0]
        assert (found.area and found.area.sha256) == (expected and expected.sha256)
        assert stopped or found.calibration.threshold == 2.0
    save_calibrated(tmp_path, *pairs[2.0])
    assert load_calibrated(tmp_path, **place).calibration.threshold == 2.0  # type: ignore[arg-type]
    assert len(list(tmp_path.glob("*.png"))) == (new == "mask")


def _stop_before_change(patch: pytest.MonkeyPatch, number: int) -> None:
    changes = iter(range(100))
    for name in ("write_bytes", "replace", "unlink"):
        real = getattr(Path, name)

        def change(*arguments: object, _real: object = real, **options: object) -> object:
            if next(changes) == number:
                raise KilledError
            return _real(*arguments, **options)  # type: ignore[operator]

        patch.setattr(Path, name, change)
