import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.audit import Audit, reason_name
from pipeline.config import ConfigError
from pipeline.history.journal import Journal
from pipeline.history.journal_audit import Period, audit_starts
from pipeline.history.journal_files import (
    END,
    JournalError,
    head_of,
    journal_files,
    lines_of,
    make_line,
    read_journal,
)
from pipeline.history.journal_repair import repair
from pipeline.history.ordinals import Ordinals, count
from pipeline.messages import Reason, ResultHeader
from pipeline.record_config import JournalConfig
from pipeline.wire import encode
from support.results import make_result

LIBRARY = Path(__file__).parents[2] / "lib"


def write(directory: Path, ordinals: list[int]) -> Path:
    with Journal(directory, epoch="e") as journal:
        for ordinal in ordinals:
            journal.append(make_result(ordinal))
    return journal.path


def test_what_is_appended_is_read_back_in_order(tmp_path: Path) -> None:
    path = write(tmp_path / "new" / "directory", [1, 2, 3])
    assert list(read_journal(path)) == [make_result(ordinal) for ordinal in (1, 2, 3)]


def test_a_torn_last_record_is_left_out(tmp_path: Path) -> None:
    path = write(tmp_path, [1, 2])
    whole = path.read_bytes()
    for size in range(whole.rindex(b"\n", 0, -1) + 1, len(whole)):
        path.write_bytes(whole[:size])
        assert [result.result_id for result in read_journal(path)] == ["epoch-1"]


@pytest.mark.parametrize("place", [0, 9, 40])
def test_a_damaged_record_in_the_middle_is_said_and_the_rest_is_kept(tmp_path: Path, place: int) -> None:
    path = write(tmp_path, [1, 2, 3])
    damaged = bytearray(path.read_bytes())
    damaged[damaged.index(b"\n", damaged.index(b"\n") + 1) + 1 + place] ^= 0x15
    path.write_bytes(damaged)
    with pytest.raises(JournalError, match=r"000001-000001-e\.journal: line 3 is damaged"):
        list(read_journal(path))
    [start] = audit_starts(tmp_path)
    assert start.account.accepts == 2
    assert start.account.gaps == [(2, 2)]
    assert any("line 3 is damaged" in failure for failure in start.failures)


@settings(deadline=None, max_examples=40)
@given(share=st.floats(0, 1), zeros=st.integers(0, 9))
def test_any_cut_is_repaired_and_all_whole_records_are_kept(
    tmp_path_factory: pytest.TempPathFactory, share: float, zeros: int
) -> None:
    """Wherever a loss of power cuts the file, and if it leaves zeros behind the cut."""
    directory = tmp_path_factory.mktemp("journal")
    path = write(directory, [1, 2, 3])
    whole = path.read_bytes()
    left = whole[: round(share * len(whole))]
    path.write_bytes(left + bytes(zeros))
    kept = left[: left.rfind(b"\n") + 1]
    repairs = repair(directory)
    assert [found.cut_bytes for found in repairs] == (
        [len(left) + zeros - len(kept)] if len(left) + zeros > len(kept) else []
    )
    assert (path.read_bytes() if path.exists() else b"") == kept
    assert repair(directory) == []
    results = list(read_journal(directory))
    assert [result.seq for result in results] == list(range(1, max(0, kept.count(b"\n") - 1) + 1))
    with Journal(directory, epoch="next") as journal:
        journal.append(make_result(1))
    assert len(list(read_journal(directory))) == len(results) + 1


def test_a_file_that_is_being_written_is_not_repaired(tmp_path: Path) -> None:
    with Journal(tmp_path, epoch="e") as journal:
        with journal.path.open("ab") as file:
            file.write(b"half a re")
        assert repair(tmp_path) == []
    assert [found.cut_bytes for found in repair(tmp_path)] == [9]


def write_small_files(directory: Path, ordinals: list[int], *, epoch: str = "e") -> None:
    """About three records a file."""
    with Journal(directory, epoch=epoch, settings=JournalConfig(file_mib=0.002)) as journal:
        for ordinal in ordinals:
            journal.append(make_result(ordinal))
        journal.end(triggers=max(ordinals))


def test_a_full_file_is_followed_by_the_next_one_and_each_says_what_came_before(tmp_path: Path) -> None:
    write_small_files(tmp_path, [1, 2, 3, 5, 6, 4, 7, 8, 9])
    write_small_files(tmp_path, [1, 2], epoch="another")
    files = journal_files(tmp_path)
    assert [(file.start, file.epoch) for file in files] == [(1, "e")] * (len(files) - 1) + [(2, "another")]
    assert [file.part for file in files if file.epoch == "e"] == list(range(1, len(files)))
    assert len(files) >= 4
    assert [r.seq for r in read_journal(tmp_path, epoch="e")] == [1, 2, 3, 5, 6, 4, 7, 8, 9]
    noted = Ordinals()
    for file in files[:-1]:
        head = head_of(file.path)
        assert head is not None
        assert (head.highest, head.missing) == (noted.highest, noted.missing)
        for result in read_journal(file.path):
            noted.note(result.seq)
    assert [line.stream for line in lines_of(files[-1].path)][-1] == END  # type: ignore[union-attr]


def test_a_file_that_is_old_is_followed_by_the_next_one(tmp_path: Path) -> None:
    with Journal(tmp_path, epoch="e", settings=JournalConfig(file_h=1e-12)) as journal:
        for ordinal in (1, 2, 3):
            journal.append(make_result(ordinal))
    assert len(journal_files(tmp_path)) == 4
    assert len(list(read_journal(tmp_path))) == 3


def test_a_disk_that_refuses_to_sync_is_said_and_the_next_record_goes_into_a_new_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = threading.Event()

    def refuse(_: int) -> None:
        refused.set()
        raise OSError(5, "Input/output error")

    with Journal(tmp_path, epoch="e") as journal:
        with monkeypatch.context() as patch:
            patch.setattr(os, "fdatasync", refuse)
            journal.append(make_result(1))
            assert refused.wait(10)
            error = None
            end = time.monotonic() + 10
            ordinal = 2
            while error is None and time.monotonic() < end:
                try:
                    journal.append(make_result(ordinal))
                    ordinal += 1
                except JournalError as found:
                    error = found
        assert error is not None
        assert "Input/output error" in str(error)
        assert journal.path.name == "000001-000002-e.journal"
        journal.append(make_result(ordinal))
    assert len(list(read_journal(tmp_path))) == ordinal


def test_a_journal_that_cannot_be_written_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="journal_dir"):
        Journal(tmp_path / "file", epoch="e")


def test_a_full_disk_leaves_whole_records_only(tmp_path: Path) -> None:
    """The kernel refuses to let the file grow: as on a full disk, the write is short, then fails."""
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from pipeline.history.journal import Journal\n"
        "from pipeline.history.journal_files import JournalError\n"
        "from support.results import make_result\n"
        "journal = Journal(Path(sys.argv[1]), epoch='e')\n"
        "failed = 0\n"
        "for ordinal in range(1, 9):\n"
        "    try:\n"
        "        journal.append(make_result(ordinal))\n"
        "    except JournalError:\n"
        "        failed += 1\n"
        "journal.close()\n"
        "print(journal.appended, failed)\n"
    )

    def small_files() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))

    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path],
        preexec_fn=small_files,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(LIBRARY), os.environ.get("PYTHONPATH", "")])},
        capture_output=True,
        text=True,
        check=True,
    )
    appended, failed = map(int, done.stdout.split())
    assert appended + failed == 8
    assert failed > 0
    [file] = journal_files(tmp_path)
    assert [result.seq for result in read_journal(file.path)] == list(range(1, appended + 1))
    assert file.path.read_bytes().endswith(b"}\n")


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


def at(ordinal: int, second: int, *, reason: Reason = Reason.OK, left_s: float = 0.1) -> ResultHeader:
    """A result that was decided and published at this second, `left_s` before its deadline."""
    result = make_result(ordinal, reason=reason)
    return msgspec.structs.replace(
        result,
        published_ns=str(second * 10**9),
        deadline_ns=str(round((second + left_s) * 1e9)),
        t=msgspec.structs.replace(result.t, decided=str(second * 10**9)),
    )


def write_at(directory: Path, moments: list[tuple[int, int]], *, epoch: str) -> None:
    with Journal(directory, epoch=epoch, settings=JournalConfig(file_mib=0.002)) as journal:
        for ordinal, second in moments:
            journal.append(at(ordinal, second))


def test_the_audit_of_a_period_reads_over_starts_and_does_not_take_what_lies_outside_for_lost(
    tmp_path: Path,
) -> None:
    write_at(tmp_path, [(n, n) for n in range(1, 6)], epoch="a")
    write_at(tmp_path, [(1, 100), (3, 101), (2, 102), (4, 103), (6, 104), (7, 105)], epoch="b")
    in_period = list(audit_starts(tmp_path, Period(4 * 10**9, 102 * 10**9)))
    assert [(start.epoch, start.account.triggers) for start in in_period] == [("a", 2), ("b", 2)]
    assert [start.failures for start in in_period] == [[], []]
    [whole] = audit_starts(tmp_path, Period(100 * 10**9, None))
    assert whole.account.gaps == [(5, 5)]
    assert whole.failures == ["7 triggers, 6 accepts + 0 rejects", "no result for trigger 5"]
    assert list(audit_starts(tmp_path, Period(10**12, None))) == []


def test_results_in_files_that_were_removed_are_not_taken_for_lost(tmp_path: Path) -> None:
    """The head of the first file that is left says what had come before."""
    write_at(tmp_path, [(n, n) for n in range(1, 21)], epoch="a")
    for file in journal_files(tmp_path)[:3]:
        file.path.unlink()  # as retention does
    first = next(read_journal(tmp_path)).seq
    assert first > 5
    [rest] = audit_starts(tmp_path)
    assert (rest.account.triggers, rest.failures) == (21 - first, [])


@pytest.mark.parametrize(("left_s", "excused"), [(4.1, [(2, 3), (5, 5)]), (4.0, [(5, 5)]), (2.0, [])])
def test_what_a_killed_start_had_still_to_decide_is_not_lost(
    tmp_path: Path, left_s: float, excused: list[tuple[int, int]]
) -> None:
    """A gap is excused while the trigger after it had time left when the last result was decided."""
    with Journal(tmp_path, epoch="a") as journal:
        for ordinal, second in [(1, 1), (4, 4), (6, 6), (7, 8)]:
            journal.append(at(ordinal, second, left_s=left_s))
    [start] = audit_starts(tmp_path)
    assert start.account.gaps == [(2, 3), (5, 5)]
    assert start.open_at_end == excused
    assert (start.failures == []) == (len(excused) == 2)


def test_a_result_whose_id_no_station_has_made_is_damage_and_no_crash(tmp_path: Path) -> None:
    """Found by the fuzzer: a line with the right checksum and `cam1)1842` for an id ended the audit."""
    path = write(tmp_path, [1, 2])
    odd = msgspec.structs.replace(make_result(3), result_id="epoch_3)")
    with path.open("ab") as file:
        file.write(make_line("result/cam1", 3, encode(odd)))
    [start] = audit_starts(tmp_path)
    assert start.account.results == 2
    assert any("cannot be read" in failure for failure in start.failures)


def test_the_end_of_a_start_says_how_many_triggers_there_were(tmp_path: Path) -> None:
    with Journal(tmp_path, epoch="a") as journal:
        journal.append(make_result(1))
        journal.end(triggers=3)
    [start] = audit_starts(tmp_path)
    assert start.ended is not None
    assert start.account.gaps == [(2, 3)]
    assert start.failures[-1] == "no result for trigger 2 .. 3"


def test_a_line_says_its_stream_and_number(tmp_path: Path) -> None:
    path = write(tmp_path, [1])
    text = path.read_bytes().splitlines(keepends=True)[1]
    assert text[8:22] == b" result/cam1 1"
    assert make_line("result/cam1", 1, text.split(b" ", 3)[3][:-1]) == text


@given(
    numbers=st.lists(st.integers(1, 30), max_size=60),
)
def test_ordinals_know_what_is_missing_and_what_came_twice(numbers: list[int]) -> None:
    noted = Ordinals()
    seen: set[int] = set()
    for number in numbers:
        assert noted.note(number) == (number not in seen)
        seen.add(number)
    missing = {n for first, last in noted.missing for n in range(first, last + 1)}
    assert missing == set(range(1, max(seen, default=0) + 1)) - seen
    assert count(noted.missing) == len(missing)


@given(kept=st.sets(st.integers(1, 40)), opened=st.integers(0, 45))
def test_the_audit_holds_only_for_exactly_one_result_each(kept: set[int], opened: int) -> None:
    audit = Audit.from_results([make_result(ordinal) for ordinal in kept])
    assert (audit.failures(opened=opened) == []) == (kept == set(range(1, opened + 1)))
