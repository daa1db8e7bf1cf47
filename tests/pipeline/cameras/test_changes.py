"""What differs is told, and what a running device cannot be told is not."""

from typing import Any

import msgspec
import pytest

from pipeline.camera_config import V4l2CameraConfig
from pipeline.cameras.changes import live_changes

LIVE = frozenset({"exposure_us", "gain", "controls"})
RAW: dict[str, Any] = {
    "name": "cam1",
    "device": "/dev/video0",
    "width_px": 640,
    "height_px": 480,
    "pixel_format": "Mono8",
    "trigger": {"source": "freerun"},
    "exposure_us": 1000,
    "gain": 2,
    "controls": {"brightness": 3},
}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, set()),
        ({"exposure_us": 2000, "gain": 3}, {"exposure_us", "gain"}),
        ({"controls": {"brightness": 3, "contrast": 1}}, {"controls"}),
        ({"exposure_us": 2000, "width_px": 320}, None),
    ],
)
def test_only_what_can_be_told_while_it_runs(changes: dict[str, Any], expected: set[str] | None) -> None:
    before, config = (msgspec.convert(raw, V4l2CameraConfig) for raw in (RAW, RAW | changes))
    assert live_changes(before, config, LIVE) == expected
