"""The same frames through the whole line again: the same bits, with the shipped model."""

from pathlib import Path

import pytest
from PIL import Image

from pipeline.cameras.part import render_part
from pipeline.config import parse_config
from pipeline.messages import HeatmapHeader
from support.lines import Line, folder_camera, make_raw_config, running

DEMO = Path(__file__).parents[2] / "models" / "demo"
PARTS = 24


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("recorded")
    for index in range(PARTS):
        part = render_part(77, index, width_px=512, height_px=512, pixel_format="Mono8", defect_rate=0.5)
        Image.fromarray(part.pixels).save(directory / f"{index:03}.png")
    return directory


def play(root: Path, recorded: Path, runtime: str, threads: int) -> Line:
    camera = folder_camera(recorded, width_px=512, height_px=512, rate_hz=10)
    raw = make_raw_config(root, [camera])
    raw["engine"] = {"model": str(DEMO), "runtime": runtime, "threads": threads}
    with running(parse_config(raw, origin="test")) as line:
        line.finish()
    return line


def judged(line: Line) -> list[tuple[object, ...]]:
    return [
        (r.frame and r.frame.source, r.disposition, r.reason_code, r.score, r.regions) for r in line.results
    ]


def maps(line: Line) -> list[bytes]:
    return [m.payload or b"" for m in line.messages if isinstance(m.header, HeatmapHeader)]


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_a_replay_gives_the_same_bits(tmp_path: Path, recorded: Path, runtime: str) -> None:
    first, second = (play(tmp_path / name, recorded, runtime, 2) for name in ("first", "second"))
    assert len(first.results) == PARTS
    assert {result.disposition for result in first.results} == {"accept", "reject"}
    assert judged(first) == judged(second)
    assert maps(first) == maps(second)
    assert len(maps(first)) == PARTS
