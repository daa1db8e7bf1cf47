"""The engine raises on one frame, or its score is no number: that part is rejected, the line goes on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.messages import Reason
from support.lines import folder_camera, make_config, paint_parts, running

# What the tiny model makes of a block of this value.
FAULTS = {3: Reason.ENGINE_ERROR, 1: Reason.NON_FINITE_SCORE, 2: Reason.NON_FINITE_SCORE}


def test_a_frame_that_the_engine_cannot_judge_is_a_reject_and_the_next_is_judged(tmp_path: Path) -> None:
    parts = paint_parts(tmp_path / "parts", 2 * len(FAULTS) + 1, defect_every=99)
    for number, value in enumerate(FAULTS):
        pixels = np.full((64, 64), 128, np.uint8)
        pixels[16:24, 40:48] = value
        Image.fromarray(pixels).save(parts / f"part{2 * number + 1:04}.png")
    with running(make_config(tmp_path, [folder_camera(parts)])) as line:
        line.wait_for(lambda: len(line.results) == 2 * len(FAULTS) + 1, "all results")
        report = line.account()
    reasons = [Reason(result.reason_code) for result in line.results]
    assert reasons[0::2] == [Reason.OK] * (len(FAULTS) + 1)
    assert reasons[1::2] == list(FAULTS.values())
    for bad in line.results[1::2]:
        assert (bad.disposition, bad.verdict, bad.score, bad.regions) == ("reject", "invalid", None, [])
        assert bad.heatmap is None or not bad.heatmap.published
    assert report.restarts == 0
    assert all(status.ready for status in line.statuses if status.state == "ContinuousExecution")
