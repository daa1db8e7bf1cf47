"""The section of config.yaml on drift: how rarely charts may be wrong, what happens when they warn."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from pipeline.camera_config import Section

Percent = Annotated[float, Meta(ge=0, le=100)]


class DriftConfig(Section, frozen=True, kw_only=True):
    """The drift charts of every camera (docs/drift.md).

    `on_drift`: `warn` publishes an event; `hold` also rejects every part of the camera, with reason 22, until
    someone releases it. `false_alarm_parts`: all charts of a camera together give one false alarm in so many
    parts, or fewer. `baseline_parts`: good parts from which the charts learn what is steady. Changes of an
    average that are smaller than the others never warn.
    """

    on_drift: Literal["warn", "hold"] = "warn"
    false_alarm_parts: Annotated[int, Meta(ge=100, le=10_000_000)] = 20_000
    baseline_parts: Annotated[int, Meta(ge=50, le=20_000)] = 1_000
    brightness_percent: Percent = 2.0
    sharpness_percent: Percent = 5.0
    position_px: Annotated[float, Meta(ge=0, le=10_000)] = 1.0
