"""`make bench-peers` without anomalib: figures, page, the processes that time, and what is refused."""

import json
import shutil
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from engines.engine import EngineError
from tools.peers.__main__ import check_ready
from tools.peers.record import BARS, OURS, PeersRun, Timed, round_ratios, rows
from tools.peers.rounds import Subject, Worker, check_scores, time_all
from tools.peers.view import markdown, notes, table, verdicts

DEMO = Path(__file__).parents[2] / "models" / "demo"


def _timed(model: str, runtime: str, *rounds_ms: list[float]) -> Timed:
    return Timed(
        model=model,
        runtime=runtime,
        dtype="uint8" if model == OURS else "float32",
        shape=(512, 512, 3) if model == OURS else (1, 3, 256, 256),
        onnx_mib=53.2,
        rss_mib=149.4,
        rounds_ms=list(rounds_ms),
    )


def _run(**changes: object) -> PeersRun:
    timed = [
        _timed(OURS, "openvino", [20.0, 22.0], [40.0, 40.0]),
        _timed(OURS, "onnxruntime", [10.0, 10.0], [20.0, 20.0]),
        _timed("efficientad-s", "openvino", [300.0, 300.0], [400.0, 400.0]),
        _timed("efficientad-s", "onnxruntime", [400.0, 400.0], [800.0, 800.0]),
        _timed("patchcore", "openvino", [90.0, 90.0], [180.0, 180.0]),
        _timed("padim", "openvino", [15.0, 15.0], [30.0, 30.0]),
    ]
    run = PeersRun(
        started_utc="2026-01-02T03:04:05+00:00",
        machine="a CPU",
        cores=4,
        load_before=0.2,
        threads=2,
        model_id="bottle-0123",
        versions={"anomalib": "2.7.0"},
        torchvision_declared=False,
        timed=timed,
    )
    return msgspec.structs.replace(run, **changes)


def _identity(path: Path, factor: float = 1.0) -> Path:
    """A graph whose score is the first pixel times `factor`."""
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 4])
    score = helper.make_tensor_value_info("pred_score", TensorProto.FLOAT, [1, 4])
    weight = helper.make_tensor("factor", TensorProto.FLOAT, [1], [factor])
    node = helper.make_node("Mul", ["image", "factor"], ["pred_score"])
    graph = helper.make_graph([node], "scaled", [image], [score], [weight])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return path


def test_ratios_are_of_the_same_round_to_our_faster_runtime() -> None:
    """A machine that slows down to half between two rounds changes no ratio."""
    run = _run()
    assert round_ratios(run.timed[3], run.timed[1]) == [40.0, 40.0]
    found = rows(run)
    assert [row.ratio for row in found] == [2.05, 1.0, 25.0, 40.0, 9.0, 1.5]
    assert [row.faster for row in found] == [False, True, True, False, True, True]
    assert (found[2].ratio_low, found[2].ratio_high) == pytest.approx((21.0, 29.0))


def test_percentiles_are_over_all_runs_of_all_rounds() -> None:
    every = [float(ms) for ms in range(1, 102)]
    run = _run(timed=[_timed(OURS, "openvino", every[:50], every[50:])])
    assert (rows(run)[0].p50_ms, rows(run)[0].p99_ms) == (51.0, 100.0)


def test_verdicts_hold_the_faster_runtime_of_each_peer_against_its_bar() -> None:
    lines = verdicts(rows(_run()))
    assert len(lines) == len(BARS)
    assert lines[0] == "EfficientAD-S takes 25.0 times as long as ours, wanted at least 20: kept."
    assert lines[1].endswith("9.0 times as long as ours, wanted at least 8: kept.")
    assert lines[2] == "PaDiM takes 1.5 times as long as ours, wanted at least 2: MISSED."


def test_page_is_the_same_from_the_json() -> None:
    run = _run()
    again = msgspec.json.decode(msgspec.json.encode(run), type=PeersRun)
    page = markdown(again)
    assert page == markdown(run)
    assert "| **ours** | **onnxruntime** | **15.0** | **20.0** | **1.00** |" in page
    assert "| EfficientAD-S | onnxruntime | 600.0 | 800.0 | 40.00 | 40.0 .. 40.0 | 149 | 53 |" in page
    for said in ("a CPU, 4 cores, load 0.2", "anomalib 2.7.0", "untrained", "no image AUROC", "bottle-0123"):
        assert said in page


def test_page_says_when_operators_were_declared_and_when_the_cores_were_busy() -> None:
    plain = "\n".join(notes(_run()))
    assert "nms" not in plain
    assert "noisy" not in plain
    told = "\n".join(notes(_run(torchvision_declared=True, load_before=3.0)))
    assert "nms" in told
    assert "noisy" in told


def test_table_fits_80_columns() -> None:
    from rich.console import Console

    console = Console(width=80)
    with console.capture() as captured:
        console.print(table(_run()))
    shown = captured.get()
    assert "…" not in shown
    assert len([line for line in shown.splitlines() if "openvino" in line or "onnxruntime" in line]) == 6


def test_every_model_is_timed_in_both_runtimes_in_every_round(tmp_path: Path) -> None:
    score = float(np.random.default_rng(0).standard_normal((1, 4), np.float32)[0, 0])
    subjects = [
        Subject(OURS, _identity(tmp_path / "ours.onnx")),
        Subject("padim", _identity(tmp_path / "padim.onnx", 3.0), 3.0 * score),
    ]
    told: list[int] = []
    timed = time_all(subjects, 1, 3, 2, told.append)
    assert told == [1, 2, 3]
    assert [(t.model, t.runtime) for t in timed] == [
        (OURS, "openvino"),
        (OURS, "onnxruntime"),
        ("padim", "openvino"),
        ("padim", "onnxruntime"),
    ]
    for one in timed:
        assert (one.dtype, one.shape) == ("float32", (1, 4))
        assert [len(runs) for runs in one.rounds_ms] == [2, 2, 2]
        assert min(min(runs) for runs in one.rounds_ms) > 0
        assert one.rss_mib > 10


def test_a_score_that_is_not_torchs_is_refused(tmp_path: Path) -> None:
    subject = Subject("padim", _identity(tmp_path / "padim.onnx"), 99.0)
    with pytest.raises(EngineError, match=r"padim: found scores .*torch.*expected the same within 1 %"):
        time_all([subject], 1, 1, 1, lambda _: None)


@pytest.mark.parametrize("other", [1.02, float("nan"), -1.0])
def test_scores_must_agree(other: float) -> None:
    check_scores("ours", {"openvino": 1.0, "onnxruntime": 1.005})
    with pytest.raises(EngineError, match="expected the same within 1 %"):
        check_scores("ours", {"openvino": 1.0, "onnxruntime": other})


@pytest.mark.parametrize("runtime", ["openvino", "onnxruntime"])
def test_a_file_that_cannot_be_loaded_is_one_line(tmp_path: Path, runtime: str) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a graph")
    with pytest.raises(EngineError, match=rf"^padim with {runtime}: its process ended with 1: [^\n]+$"):
        Worker(Subject("padim", broken), runtime, 1)


def test_a_worker_that_has_ended_is_an_error(tmp_path: Path) -> None:
    with Worker(Subject("padim", _identity(tmp_path / "padim.onnx")), "onnxruntime", 1) as worker:
        worker._process.kill()
        worker._process.wait()
        with pytest.raises(EngineError, match="its process ended with -9"):
            worker.run(1)
    worker.close()


def test_refused_before_the_long_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EngineError, match=r"model\.json: not found"):
        check_ready(tmp_path, [])
    found: list[str] = []
    monkeypatch.setattr("importlib.util.find_spec", found.append)
    with pytest.raises(EngineError, match=r"anomalib: not installed here.*make bench-peers"):
        check_ready(DEMO, [])
    assert found == ["anomalib"]
    monkeypatch.setattr("importlib.util.find_spec", lambda _: "there")
    check_ready(DEMO, [tmp_path / "run.json"])
    with pytest.raises(EngineError, match=r"its folder is missing"):
        check_ready(DEMO, [tmp_path / "none" / "run.json"])


def test_another_size_is_refused(tmp_path: Path) -> None:
    model = tmp_path / "wide"
    shutil.copytree(DEMO, model)
    manifest = json.loads((model / "model.json").read_text())
    (model / "model.json").write_text(json.dumps({**manifest, "hr_height_px": 128}))
    with pytest.raises(EngineError, match="found an HR view of 128x256, expected 256x256"):
        check_ready(model, [])
