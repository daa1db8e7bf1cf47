"""Real parts: bottle with the defaults of the commands but for the steps; the bars of the first milestone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.bottle import needs_bottle

pytestmark = needs_bottle


@pytest.fixture(scope="module")
def report(bottle_report: Path) -> dict[str, float]:
    found: dict[str, float] = json.loads(bottle_report.read_text())
    return found


def test_image_auroc(report: dict[str, float]) -> None:
    assert report["image_auroc"] >= 0.98


def test_regions_are_where_the_defects_are(report: dict[str, float]) -> None:
    assert report["pixel_auroc"] >= 0.975
    assert report["aupro"] >= 0.92


def test_the_threshold_holds_on_unseen_parts(report: dict[str, float]) -> None:
    assert report["false_reject_rate"] <= 0.1  # two of twenty; the record's own bound is 6.9 %
    assert report["miss_rate"] <= 0.05
