import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.audit import Audit, reason_name
from pipeline.config import ConfigError
from pipeline.journal import Journal, JournalError, read_journal
from pipeline.messages import Reason
from pipeline.wire import encode
from support.results import make_result


def write(directory: Path, ordinals: list[int]) -> Path:
    with Journal(directory, epoch="e") as journal:
        for ordinal in ordinals:
            journal.append(encode(make_result(ordinal)))
    return journal.path


def test_what_is_appended_is_read_back_in_order(tmp_path: Path) -> None:
    path = write(tmp_path / "new" / "directory", [1, 2, 3])
    assert list(read_journal(path)) == [make_result(ordinal) for ordinal in (1, 2, 3)]


def test_a_torn_last_record_is_left_out(tmp_path: Path) -> None:
    path = write(tmp_path, [1, 2])
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for size in range(first, len(whole)):
        path.write_bytes(whole[:size])
        assert [result.result_id for result in read_journal(path)] == ["epoch-1"]


@pytest.mark.parametrize("place", [0, 9, 40])
def test_a_damaged_record_in_the_middle_is_said(tmp_path: Path, place: int) -> None:
    path = write(tmp_path, [1, 2])
    damaged = bytearray(path.read_bytes())
    damaged[place] ^= 0x15
    path.write_bytes(damaged)
    with pytest.raises(JournalError, match="line 1 is damaged"):
        list(read_journal(path))


def test_a_journal_that_cannot_be_written_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="journal_dir"):
        Journal(tmp_path / "file", epoch="e")


def test_a_full_disk_leaves_whole_records_only(tmp_path: Path) -> None:
    """The kernel refuses to let the file grow: as on a full disk, the write is short, then fails."""
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from pipeline.journal import Journal, JournalError\n"
        "journal = Journal(Path(sys.argv[1]), epoch='e')\n"
        "record = b'{' + b' ' * 900 + b'}'\n"
        "failed = 0\n"
        "for _ in range(8):\n"
        "    try:\n"
        "        journal.append(record)\n"
        "    except JournalError:\n"
        "        failed += 1\n"
        "journal.close()\n"
        "print(journal.appended, failed)\n"
    )

    def small_files() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path],
        preexec_fn=small_files,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["4", "4"]
    assert (tmp_path / "e.journal").read_bytes().count(b"\n") == 4
    assert (tmp_path / "e.journal").read_bytes().endswith(b"}\n")


def test_close_is_idempotent(tmp_path: Path) -> None:
    journal = Journal(tmp_path, epoch="e")
    journal.close()
    journal.close()


def test_the_audit_of_a_whole_journal_holds() -> None:
    audit = Audit.from_results([make_result(1), make_result(2, reason=Reason.ANOMALY), make_result(3)])
    assert (audit.triggers, audit.accepts, dict(audit.rejects)) == (3, 2, {"anomaly": 1})
    assert audit.failures(opened=3) == []


def test_the_audit_names_what_is_missing_or_repeated() -> None:
    audit = Audit.from_results([make_result(1), make_result(3), make_result(3)])
    failures = audit.failures(opened=4)
    assert any("no result for trigger 2" in failure for failure in failures)
    assert any("more than one result for trigger 3" in failure for failure in failures)
    assert any("counted 4 triggers" in failure for failure in failures)


def test_agreement_with_the_truth() -> None:
    results = [
        make_result(1, truth="good"),
        make_result(2, truth="good", reason=Reason.ANOMALY),
        make_result(3, truth="dent", reason=Reason.ANOMALY),
        make_result(4, truth="scratch"),
        make_result(5, truth="dent", reason=Reason.NO_FRAME),
        make_result(6),
    ]
    assert Audit.from_results(results).agreement() == (1, 2, 1, 2)
    assert Audit.from_results([make_result(1)]).agreement() is None


def test_reason_names() -> None:
    assert reason_name(11) == "no frame"
    assert reason_name(1003) == "site 1003"


@given(kept=st.sets(st.integers(1, 40)), opened=st.integers(0, 45))
def test_the_audit_holds_only_for_exactly_one_result_each(kept: set[int], opened: int) -> None:
    audit = Audit.from_results([make_result(ordinal) for ordinal in kept])
    assert (audit.failures(opened=opened) == []) == (kept == set(range(1, opened + 1)))
