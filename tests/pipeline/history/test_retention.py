"""Which files of the journal go, what a consumer loses, where its cursor is."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.history.cursors import CursorError, Cursors, Position
from pipeline.history.journal import Journal
from pipeline.history.journal_files import journal_files, read_journal
from pipeline.history.journal_index import JournalIndex
from pipeline.history.journal_retention import JournalRetention
from pipeline.history.retention import FullFile, Limits, removals
from pipeline.record_config import ConsumerConfig, JournalConfig
from support.results import make_result

MES = ConsumerConfig(name="mes", limit_mib=1.0)


def file(number: int, *, size: int = 100, written_s: float = 1_000.0, awaited: bool = False) -> FullFile:
    return FullFile(Path(f"{number}"), size, written_s, frozenset({"mes"} if awaited else ()))


def limits(*, oldest_s: float = 0, keep: int = 10_000, missing: int = 0, mes: int = 1_000) -> Limits:
    return Limits(oldest_s, keep, missing, {"mes": mes})


def gone(files: list[FullFile], of: Limits) -> list[str]:
    return [removal.path.name for removal in removals(files, of)]


def test_old_files_and_those_beyond_the_size_go_oldest_first() -> None:
    files = [file(1, written_s=10), file(2, written_s=20), file(3, written_s=30)]
    assert gone(files, limits(oldest_s=15)) == ["1"]
    assert gone(files, limits(keep=150)) == ["1", "2"]
    assert gone(files, limits()) == []


def test_what_a_consumer_waits_for_is_kept_up_to_its_limit() -> None:
    files = [file(1), file(2, awaited=True), file(3, awaited=True)]
    assert gone(files, limits(keep=0)) == ["1"]
    assert gone(files, limits(keep=0, mes=100)) == ["1", "2"]
    assert gone(files, limits(keep=1_000, mes=100)) == []


def test_a_short_disk_takes_the_oldest_whoever_waits_and_says_who_loses() -> None:
    files = [file(1), file(2, awaited=True), file(3, awaited=True)]
    found = removals(files, limits(missing=150))
    assert [(removal.path.name, removal.lost_by) for removal in found] == [
        ("1", frozenset()),
        ("2", frozenset({"mes"})),
    ]


@given(
    sizes=st.lists(st.integers(1, 100), max_size=12),
    acknowledged=st.integers(0, 12),
    keep=st.integers(0, 800),
    limit=st.integers(0, 800),
    missing=st.integers(-50, 800),
)
def test_always_the_oldest_and_none_that_is_awaited_without_need(
    sizes: list[int], acknowledged: int, keep: int, limit: int, missing: int
) -> None:
    files = [file(n, size=size, awaited=n >= acknowledged) for n, size in enumerate(sizes)]
    found = removals(files, limits(keep=keep, mes=limit, missing=missing))
    assert [removal.path for removal in found] == [item.path for item in files[: len(found)]]
    left = files[len(found) :]
    if missing <= 0 and sum(item.size_bytes for item in files if item.awaited_by) <= limit:
        assert not any(removal.lost_by for removal in found)
    if left and missing > 0:
        assert sum(item.size_bytes for item in files[: len(found)]) >= missing
    backlog = sum(item.size_bytes for item in left if item.awaited_by)
    fits = sum(item.size_bytes for item in left) <= keep
    assert not left or fits or (left[0].awaited_by and backlog <= limit)


# On files


def write(directory: Path, count: int, *, epoch: str = "epoch") -> Journal:
    """About three records a file; the writer stays open."""
    journal = Journal(directory, epoch=epoch, settings=JournalConfig(file_mib=0.002))
    for ordinal in range(1, count + 1):
        journal.append(make_result(ordinal))
    return journal


def prune(directory: Path, cursors: Cursors, **settings: float) -> list[str]:
    index = JournalIndex(directory)
    index.refresh()
    try:
        return JournalRetention(
            directory, index, cursors, JournalConfig(**{"min_free_mib": 0, **settings})
        ).prune()
    finally:
        index.close()


def test_the_journal_is_pruned_up_to_what_is_acknowledged_and_never_the_file_in_use(tmp_path: Path) -> None:
    cursors = Cursors(tmp_path, [MES])
    with write(tmp_path, 12) as journal:
        before = journal_files(tmp_path)
        assert len(before) >= 4
        assert prune(tmp_path, cursors, keep_mib=1e-6) == []
        assert journal_files(tmp_path) == before
        cursors.acknowledge("mes", "result/cam1", Position(1, 6))
        assert prune(tmp_path, cursors, keep_mib=1e-6) == []
        left = [result.seq for result in read_journal(tmp_path)]
        assert left[0] in {5, 6, 7}
        assert left == list(range(left[0], 13))
        cursors.acknowledge("mes", "result/cam1", Position(1, 12))
        prune(tmp_path, cursors, keep_mib=1e-6)
        assert [found.path for found in journal_files(tmp_path)] == [journal.path]


def test_an_acknowledgement_of_a_later_start_is_one_of_all_earlier_ones(tmp_path: Path) -> None:
    write(tmp_path, 5, epoch="a").close()
    with write(tmp_path, 2, epoch="b") as journal:
        cursors = Cursors(tmp_path, [MES])
        assert prune(tmp_path, cursors, keep_mib=1e-6) == []
        assert len(list(read_journal(tmp_path, epoch="a"))) == 5
        cursors.acknowledge("mes", "result/cam1", Position(2, 1))
        prune(tmp_path, cursors, keep_mib=1e-6)
        assert [found.path for found in journal_files(tmp_path)] == [journal.path]


def test_a_short_disk_is_told_to_the_consumer_that_loses(tmp_path: Path) -> None:
    with write(tmp_path, 12):
        [told] = prune(tmp_path, Cursors(tmp_path, [MES]), min_free_mib=1e8)
    assert "consumer mes: " in told
    assert "the disk is short" in told
    with write(tmp_path, 12, epoch="b"):
        small = ConsumerConfig(name="mes", limit_mib=0.002)
        [told] = prune(tmp_path, Cursors(tmp_path, [small]), keep_mib=1e-6)
    assert "its limit_mib is exceeded" in told


def test_a_file_that_another_station_writes_stays(tmp_path: Path) -> None:
    with write(tmp_path, 1, epoch="a"), write(tmp_path, 1, epoch="b"):
        prune(tmp_path, Cursors(tmp_path, []), keep_mib=1e-6)
        assert len(journal_files(tmp_path)) == 2


def test_a_cursor_only_moves_forward_and_outlives_its_process(tmp_path: Path) -> None:
    cursors = Cursors(tmp_path, [MES])
    assert cursors.acknowledge("mes", "part", Position(1, 5)) == (1, 5)
    assert cursors.acknowledge("mes", "part", Position(1, 3)) == (1, 5)
    assert cursors.acknowledge("mes", "part", Position(2, 1)) == (2, 1)
    assert not (tmp_path / "mes.cursor").exists()
    cursors.save()
    assert [path.name for path in tmp_path.iterdir()] == ["mes.cursor"]
    again = Cursors(tmp_path, [MES])
    assert again.position("mes", "part") == (2, 1)
    assert again.position("mes", "result/cam1") == (0, 0)


def test_a_damaged_cursor_stops_the_start_and_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "mes.cursor").write_bytes(b'{"streams": {"part": [1')
    with pytest.raises(CursorError, match=r"mes\.cursor: cannot be read .* sent everything again"):
        Cursors(tmp_path, [MES])


def test_a_cursor_that_cannot_be_written_is_an_error_and_the_old_one_stays(tmp_path: Path) -> None:
    directory = tmp_path / "journal"
    directory.mkdir()
    cursors = Cursors(directory, [MES])
    cursors.acknowledge("mes", "part", Position(1, 5))
    cursors.save()
    (directory / "mes.part").mkdir()
    cursors.acknowledge("mes", "part", Position(1, 6))
    with pytest.raises(CursorError, match="cannot be written"):
        cursors.save()
    assert Cursors(directory, [MES]).position("mes", "part") == (1, 5)
    (directory / "mes.part").rmdir()
    cursors.save()
    assert Cursors(directory, [MES]).position("mes", "part") == (1, 6)
