"""`hlgfa bench` as a person runs it: real runtimes in processes of their own, on a tiny model."""

import json
from pathlib import Path

import numpy as np
import pytest

from engines.engine import EngineError
from engines.load import open_engine
from engines.multiply_adds import multiply_adds
from support.tiny_model import make_model
from tools.bench import bench
from tools.benchmark.peak import MULTIPLY_ADDS, SIDE, write_peak_model
from tools.benchmark.worker import Target, Worker


def test_the_matrix_products_are_what_they_are_counted_as_and_stay_finite(tmp_path: Path) -> None:
    write_peak_model(tmp_path)
    assert multiply_adds((tmp_path / "model.onnx").read_bytes()) == {"MatMul": MULTIPLY_ADDS}
    with open_engine(tmp_path, runtime="onnxruntime", threads=1) as engine:
        found = engine.infer(np.random.default_rng(0).integers(0, 256, (SIDE, SIDE), np.uint8))
    assert np.isfinite(found.anomaly_map).all()
    assert found.anomaly_map.std() > 1  # really computed, not folded away


def test_engines_are_timed_in_turn_and_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, report = make_model(tmp_path / "model"), tmp_path / "out" / "bench.json"
    bench(model, threads=1, rounds=2, frames=3, json=report)
    found = json.loads(report.read_text())
    assert [engine["target"] for engine in found["engines"]] == ["onnxruntime fp32", "openvino fp32"]
    for engine in found["engines"]:
        assert engine["frames"] == 6
        assert 0 < engine["p50_ms"] <= engine["p99_ms"] <= engine["max_ms"]
        assert engine["rss_mib"] > 10
        assert engine["roofline_ratio"] is None  # the tiny model has no multiply-adds
    assert found["engines"][0]["ratio"] == 1.0
    assert found["machine"]["threads"] == "1"
    assert found["not_run"] == {}
    shown = capsys.readouterr().out
    assert "onnxruntime" in shown
    assert "openvino" in shown


def test_the_roofline_stands_beside_an_engine_that_multiplies(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_peak_model(tmp_path)
    bench(tmp_path, targets="onnxruntime", threads=1, rounds=1, frames=1, json=tmp_path / "bench.json")
    (engine,) = json.loads((tmp_path / "bench.json").read_text())["engines"]
    assert engine["peak_gflops"] > 0
    assert engine["roofline_ms"] == pytest.approx(2 * MULTIPLY_ADDS / engine["peak_gflops"] / 1e6)
    assert "GFLOP/s in a large matrix product" in capsys.readouterr().out


def test_an_engine_that_was_asked_for_and_cannot_run_is_an_error(tmp_path: Path) -> None:
    model = make_model(tmp_path / "model")
    with pytest.raises(EngineError, match="abacus"):
        bench(model, targets="onnxruntime,abacus:fp32", rounds=1)


def test_a_worker_that_dies_says_so(tmp_path: Path) -> None:
    worker = Worker(make_model(tmp_path / "model"), Target("onnxruntime"), threads=1)
    worker._process.kill()
    with pytest.raises(EngineError, match="ended with exit code -9"):
        worker.run(1)
    worker.close()
