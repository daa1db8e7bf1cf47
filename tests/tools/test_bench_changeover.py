"""The benchmark of changeovers on a small line: parts on both sides, and what it calls a problem."""

from __future__ import annotations

from pathlib import Path

import yaml

from engines.manifest import ONNX_NAME
from engines.records import file_sha256
from support.lines import folder_camera, make_raw_config, paint_parts
from tools.bench_changeover import Span, config_of, evaluate, run

CHANGEOVERS = 2


def test_parts_beside_changeovers_and_before_them_are_told_apart(tmp_path: Path) -> None:
    camera = folder_camera(paint_parts(tmp_path / "parts", 5), loop=True)
    base = tmp_path / "config.yaml"
    base.write_text(yaml.safe_dump(make_raw_config(tmp_path, [camera])))
    raw = config_of(tmp_path, base, tmp_path / "model", 50.0)
    report = run(raw, changeovers=CHANGEOVERS, every_s=1.0)
    first, second = (file_sha256(tmp_path / name / ONNX_NAME) for name in ("model", "second"))
    assert first != second
    found = evaluate(report, {"1": first, "2": second})
    assert found.problems == []
    assert len(found.loading_s) == len(found.gap_ms) == CHANGEOVERS
    assert found.beside
    assert found.without
    wrong = evaluate(report, {"1": second, "2": first})
    assert any("accepted by another model" in problem for problem in wrong.problems)


def test_the_pair_of_a_changeover_is_the_time_just_before_it() -> None:
    assert Span(100, 130).before == Span(70, 100)
