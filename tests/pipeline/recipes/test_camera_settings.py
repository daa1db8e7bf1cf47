"""Changeovers whose camera settings a running device takes, and those for which it is opened again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.messages import Reason, RecipeChange
from support.fake_gv_camera import FakeGvCamera, missing_aravis
from support.lines import Line, running
from support.private_network import private_network
from support.recipes import change, make_recipe_config, write_recipe
from support.tiny_model import make_model

SIDE_PX, PERIOD_MS = 64, 50
LENIENT = 1_000.0
"""A threshold under which every picture is a good part."""
BUSY = {Reason.LATE, Reason.NO_FRAME, Reason.INCOMPLETE_FRAME, Reason.OVERRUN, Reason.TRIGGER_WHILE_BUSY}
"""What a machine that other programs keep busy may cost."""


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    """A station with a GigE Vision camera that it triggers 20 times a second, accepting every part."""
    if (missing := missing_aravis()) is not None:
        pytest.skip(missing)
    for name in ("model", "model1", "model2"):
        make_model(tmp_path / name, threshold=LENIENT)
    settings = {"exposure_us": 100.0, "features": {"GainRaw": 0}}
    write_recipe(tmp_path, 1, cameras={"cam1": {"exposure_us": 2_000.0}})
    write_recipe(tmp_path, 2, cameras={"cam1": {"exposure_us": 3_000.0, "features": {"GainRaw": 5}}})
    camera = {
        "kind": "aravis",
        "name": "cam1",
        "width_px": SIDE_PX,
        "height_px": SIDE_PX,
        "pixel_format": "Mono8",
        "address": "127.0.0.1",
        "packet_size_bytes": 8_000,
        "trigger": {"source": "software", "period_ms": PERIOD_MS},
    }
    config = make_recipe_config(tmp_path, [camera | settings])
    with private_network(), FakeGvCamera("A1"), running(config) as line:
        line.wait_for(lambda: bool(accepts(line)), "the first accept")
        yield line


def accepts(line: Line) -> list[str | None]:
    """Recipes of the accepts so far."""
    results = [result for result in line.results if result.disposition == "accept"]
    return [None if result.recipe is None else result.recipe.id for result in results]


def of_device(name: str) -> float:
    """What the device itself says, to a reader that does not control it."""
    from gi.repository import Aravis

    device = Aravis.Camera.new("127.0.0.1").get_device()
    value = (
        device.get_float_feature_value if name.startswith("Exposure") else device.get_integer_feature_value
    )
    return float(value(name))


def changed(line: Line, number: int) -> tuple[RecipeChange, float]:
    """Change over, wait for the first accept of the new recipe; how long no recipe was valid, ms."""
    end = change(line, number)
    at = {
        e.recipe.state: int(e.published_ns)
        for e in line.events
        if e.recipe is not None and e.recipe.id == end.id
    }
    line.wait_for(lambda: end.id in accepts(line), f"an accept of recipe {number}")
    return end, (at["switched"] - at["verified"]) / 1e6


def test_a_running_device_takes_exposure_and_features(
    line: Line, record_property: Callable[[str, object], None]
) -> None:
    process = line.station.process_ids["capture-cam1"]
    for number, exposure_us, gain in ((1, 2_000.0, 0), (2, 3_000.0, 5), (1, 2_000.0, 0)):
        end, gap_ms = changed(line, number)
        record_property(f"gap_ms_{number}", gap_ms)
        assert end.state == "switched"
        assert (of_device("ExposureTimeAbs"), of_device("GainRaw")) == (exposure_us, gain)
    assert line.station.process_ids["capture-cam1"] == process
    report = line.account()
    assert (report.restarts, report.frames_lost) == (0, 0)
    reasons = {Reason(result.reason_code) for result in line.results if result.disposition == "reject"}
    assert reasons <= {Reason.RECIPE_NOT_READY, *BUSY}


def test_a_value_that_it_refuses_opens_it_again_and_is_rolled_back(line: Line, tmp_path: Path) -> None:
    process = line.station.process_ids["capture-cam1"]
    write_recipe(tmp_path, 1, cameras={"cam1": {"exposure_us": 1.0}})
    assert change(line, 1).state == "rolled_back"
    before = len(accepts(line))
    line.wait_for(lambda: len(accepts(line)) > before + 5, "accepts of the old recipe")
    assert of_device("ExposureTimeAbs") == 100.0
    assert line.station.process_ids["capture-cam1"] != process
    assert "expected 10.0 to 10000000.0" in next(e.text for e in line.events if e.severity == "error")
    line.account()
