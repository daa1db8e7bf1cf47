"""What an earlier version wrote is read, or refused with what to do; journal-1.0 is as it was written."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from engines.engine import EngineError
from engines.manifest import FILE_NAME, load_manifest
from pipeline.history.journal_audit import Period
from support.lines import folder_camera, make_config, paint_parts, running
from support.tiny_model import make_model
from tools.audit_report import make_report

EARLIER = Path(__file__).with_name("journal-1.0")
EVER = Period(None, None)


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return Path(shutil.copytree(EARLIER, tmp_path / "journal"))


def test_the_journal_of_an_earlier_version_is_audited(journal: Path) -> None:
    report = make_report(journal, EVER)
    assert report.holds
    [start] = report.starts
    assert (start.triggers, start.accepts, start.rejects) == (5, 4, 1)


def test_a_station_goes_on_behind_it_and_leaves_it_as_it_was(tmp_path: Path, journal: Path) -> None:
    before = {path.name: path.read_bytes() for path in journal.iterdir()}
    with running(make_config(tmp_path, [folder_camera(paint_parts(tmp_path / "parts", 3))])) as line:
        line.finish()
    report = make_report(journal, EVER)
    assert report.holds
    assert [start.triggers for start in report.starts] == [5, 3]
    for name, data in before.items():
        assert (journal / name).read_bytes() == data


def test_a_journal_of_a_version_that_cannot_be_read_is_told_of(journal: Path) -> None:
    [path] = journal.iterdir()
    path.rename(journal / "20250101T000000Z.journal")
    done = subprocess.run(
        [sys.executable, "-m", "tools.cli", "audit", str(journal)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert "found 1 file(s) of a version whose journal this one does not read" in done.stderr
    assert "docs/deployment.md" in done.stderr


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"schema": "hlgfa.model/2.0"},
            "found schema 'hlgfa.model/2.0', expected 'hlgfa.model/1.0'. Run: hlgfa train",
        ),
        ({"invented_later": 1}, "unknown field `invented_later`"),
    ],
)
def test_a_model_of_another_version_is_refused_with_what_to_do(
    tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    model = make_model(tmp_path / "model")
    path = model / FILE_NAME
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(EngineError) as caught:
        load_manifest(model)
    assert words in str(caught.value)
    assert "Run: hlgfa train" in str(caught.value)


def test_the_demo_model_is_of_this_version() -> None:
    assert load_manifest(Path(__file__).parents[2] / "models" / "demo").model_id.startswith("demo-")
