"""The comparison on small synthetic parts: every method runs, results stay, the table says what they are."""

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
import typer
from PIL import Image
from sklearn.metrics import roc_auc_score

from calibration.dataset import Split
from calibration.record import CalibrationError
from engines.backbone import BACKBONE
from support.parts import defective_part, good_part, write_parts
from tools.baselines.dataset import LabelledSet, extract
from tools.baselines.maps import AnomalyScores
from tools.baselines.results import Comparison, Result, Settings, markdown_table, open_comparison
from tools.compare_methods import compare_methods

HR = (64, 64)


def _row(data: str, method: str, seed: int, value: float, aupro: float | None = 0.5) -> Result:
    return Result(
        data=data,
        method=method,
        seed=seed,
        image_auroc=value,
        pixel_auroc=value / 2,
        aupro=aupro,
        fit_s=10.0 * (seed + 1),
        score_ms=7.0,
        fit_parts=8,
        test_parts=4,
        threads=2,
        machine="a CPU",
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_parts(tmp_path_factory.mktemp("data") / "disc", train=12)


@pytest.fixture(scope="module")
def results(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("results") / "docs" / "raw.json"
    _compare(out, data)
    return out


def _compare(out: Path, *data: Path, methods: str = "padim,patchcore,student", seeds: str = "0") -> None:
    threads = torch.get_num_threads()
    try:
        compare_methods(
            out,
            list(data),
            seeds=seeds,
            size="64",
            methods=methods,
            coreset_patches=300,
            student_steps=20,
            threads=1,
        )
    finally:
        torch.set_num_threads(threads)


def test_every_baseline_finds_the_scratches(results: Path) -> None:
    rows = msgspec.json.decode(results.read_bytes(), type=Comparison).results
    assert [(r.method, r.seed) for r in rows] == [
        ("padim", 0),
        ("patchcore", 0),
        ("student", 0),
    ]
    for row in rows:
        assert (row.data, row.fit_parts, row.test_parts, row.threads) == ("disc", 10, 8, 1)
        assert row.image_auroc == 1.0, row
        assert row.pixel_auroc is not None
        assert row.pixel_auroc > 0.9, row
        assert row.aupro is not None
        assert row.aupro > 0.5, row
        assert row.fit_s > 0
        assert row.score_ms > 0
    assert "/" not in rows[0].data


def test_a_run_goes_on_where_it_stopped(
    results: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    comparison = msgspec.json.decode(results.read_bytes(), type=Comparison)
    out = tmp_path / "raw.json"
    kept = msgspec.structs.replace(comparison, results=comparison.results[:1])
    out.write_bytes(msgspec.json.encode(kept))
    _compare(out, data, methods="padim,patchcore")
    again = msgspec.json.decode(out.read_bytes(), type=Comparison).results
    for before, after in zip(comparison.results[:2], again, strict=True):
        for key in ("data", "method", "seed", "image_auroc", "pixel_auroc", "aupro"):
            assert getattr(before, key) == getattr(after, key)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("nothing is missing, nothing may run")

    monkeypatch.setattr("tools.baselines.runner.Runner.result", refuse)
    _compare(out, data, methods="patchcore,padim")


def test_what_was_finished_stays_when_a_later_method_fails(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise CalibrationError("no memory")

    monkeypatch.setattr("tools.baselines.runner.hlgfa_method", fail)
    out = tmp_path / "raw.json"
    with pytest.raises(CalibrationError, match="no memory"):
        _compare(out, data, methods="padim,paper", seeds="0")
    rows = json.loads(out.read_text())["results"]
    assert [(row["method"], row["seed"]) for row in rows] == [("padim", 0)]


def test_other_settings_do_not_mix(results: Path) -> None:
    with pytest.raises(CalibrationError, match=r"found results with Settings.*Choose another --out"):
        open_comparison(results, Settings(size="128"))


def test_a_damaged_file_and_none_at_all_are_refused(tmp_path: Path) -> None:
    (tmp_path / "raw.json").write_text("{")
    with pytest.raises(CalibrationError, match="cannot be read"):
        open_comparison(tmp_path / "raw.json", None)
    with pytest.raises(CalibrationError, match=r"not found, expected results\. Give --data"):
        compare_methods(tmp_path / "none.json", table=tmp_path / "table.md")


def test_the_table_has_mean_and_spread(tmp_path: Path) -> None:
    rows = [
        *(_row("bolt", "padim", seed, value) for seed, value in ((0, 0.9), (1, 0.98))),
        *(_row("nut", "padim", seed, value) for seed, value in ((0, 0.8), (1, 0.8))),
        _row("bolt", "hlgfa", 0, 1.0, aupro=None),
    ]
    comparison = Comparison(settings=Settings(), results=rows)
    (tmp_path / "raw.json").write_bytes(msgspec.json.encode(comparison))
    compare_methods(tmp_path / "raw.json", table=tmp_path / "table.md")
    table = (tmp_path / "table.md").read_text(encoding="utf-8")
    assert table == markdown_table(comparison)
    lines = [line for line in table.splitlines() if line.startswith("|")]
    assert lines[0] == "| method | bolt | nut | mean | fit, s | one image, ms |"
    assert lines[2] == (
        "| padim | 94.0 ± 5.7 / 47.0 ± 2.8 / 50.0 ± 0.0 | 80.0 ± 0.0 / 40.0 ± 0.0 / 50.0 ± 0.0"
        " | 87.0 ± 2.8 / 43.5 ± 1.4 / 50.0 ± 0.0 | 15 | 7 |"
    )
    assert lines[3] == "| hlgfa | 100.0 / 50.0 / - | - | - | 10 | 7 |"
    assert "a CPU, 2 thread(s)" in table


def test_ours_runs_through_the_same_call(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Split] = []

    class Network(torch.nn.Module):
        """Stands in for a trained network: dark is bad."""

        def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            assert torch.is_inference_mode_enabled()
            darkness = 35 - image[None].float()  # only the scratch is darker than 35
            anomaly_map = torch.nn.functional.max_pool2d(darkness, 6)[0].relu()
            return anomaly_map, anomaly_map.amax().reshape(1)

    def fit(images: object, split: Split, *_: object, **__: object) -> Network:
        seen.append(split)
        return Network()

    monkeypatch.setattr("tools.baselines.methods.fit", fit)
    _compare(tmp_path / "raw.json", data, methods="hlgfa", seeds="3")
    row = open_comparison(tmp_path / "raw.json", None).results[0]
    assert (row.method, row.seed, len(seen[0].hold_out)) == ("hlgfa", 3, 2)
    assert row.image_auroc == 1.0
    assert row.pixel_auroc is not None
    assert row.pixel_auroc > 0.9


@pytest.mark.parametrize("method", ["hlgfa", "paper"])
def test_ours_trains_for_real(data: Path, method: str) -> None:
    from calibration.dataset import split_parts
    from calibration.guide import Schedule
    from tools.baselines.methods import OURS, hlgfa_method

    labelled = LabelledSet.find(data, "64x64")
    settings = msgspec.structs.replace(OURS[method], schedule=Schedule(steps=60, batch=4))
    split = split_parts(len(labelled.images), seed=0)
    outcome = hlgfa_method(
        labelled.images, labelled.test_images, split, labelled.geometry, settings, progress=lambda *_: None
    )
    assert outcome.scores.maps.shape == (8, *HR)
    assert roc_auc_score(labelled.defective(), outcome.scores.images) == 1.0


def test_baselines_never_see_held_out_parts(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from calibration.dataset import split_parts

    seen: list[torch.Tensor] = []

    class Spy:
        @classmethod
        def fit(cls, features: dict[int, torch.Tensor], *_: object, **__: object) -> "Spy":
            seen.append(features[8])
            return cls()

        def score(self, features: dict[int, torch.Tensor]) -> AnomalyScores:
            return AnomalyScores(np.zeros((1, *HR), np.float32), np.zeros(1, np.float32))

    monkeypatch.setattr("tools.baselines.methods.Padim", Spy)
    _compare(tmp_path / "raw.json", data, methods="padim", seeds="4")
    labelled = LabelledSet.find(data, "64x64")
    cached = extract(labelled.images, labelled.geometry, BACKBONE, (4, 8, 16), progress=lambda *_: None)
    split = split_parts(12, seed=4)
    # Not the same bits: the comparison may have run on another number of threads.
    torch.testing.assert_close(seen[0], cached.at(split.fit)[8], rtol=1e-3, atol=1e-3)
    row = open_comparison(tmp_path / "raw.json", None).results[0]
    assert row.image_auroc == row.pixel_auroc == 0.5  # all scores equal


def test_images_of_several_sizes_are_scaled_to_one(tmp_path: Path) -> None:
    folder = write_parts(tmp_path / "disc", train=3, good=1, bad=1)
    Image.fromarray(good_part(0, size_px=80)).save(folder / "train/good/000.png")
    labelled = LabelledSet.find(folder, "64x64")
    assert labelled.geometry.input_px == (96, 96)
    assert [labelled.images[i].shape for i in range(3)] == [(96, 96)] * 3
    assert [mask.shape for mask in labelled.masks().values()] == [HR, HR]
    Image.fromarray(good_part(0, channels=3)).save(folder / "train/good/001.png")
    with pytest.raises(CalibrationError, match=r"found 1 channel\(s\) in 4 files, 3 channel\(s\) in 1 files"):
        LabelledSet.find(folder, "64")


def test_defects_without_a_mask_count_for_the_image_only(tmp_path: Path) -> None:
    folder = write_parts(tmp_path / "disc", train=3, good=2, bad=2)
    (folder / "ground_truth/scratch/001_mask.png").unlink()
    labelled = LabelledSet.find(folder, "192")
    assert labelled.defective().tolist() == [False, False, True, True]
    masks = labelled.masks()
    assert sorted(masks) == [0, 1, 2]
    expected = defective_part(950)[1].repeat(2, axis=0).repeat(2, axis=1)
    assert np.array_equal(masks[2], expected)
    assert not masks[0].any()


def test_two_sets_of_one_name_are_refused(data: Path, tmp_path: Path) -> None:
    other = write_parts(tmp_path / "disc", train=3, good=1, bad=1)
    with pytest.raises(typer.BadParameter, match="expected different names"):
        _compare(tmp_path / "raw.json", data, other)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"methods": "padim,knn"}, "--methods: found 'padim,knn'"),
        ({"seeds": "0;1"}, "--seeds: found '0;1'"),
        ({"size": "big"}, "--size: found 'big'"),
        ({"taps": ""}, "--taps: found ''"),
    ],
)
def test_a_wrong_option_is_refused(tmp_path: Path, option: dict[str, str], message: str) -> None:
    with pytest.raises(typer.BadParameter, match=message):
        compare_methods(tmp_path / "raw.json", **option)  # type: ignore[arg-type]
