"""The disk of the journal, or the shared memory, is full: nothing is accepted that cannot be proven."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.audit import Audit
from pipeline.history.journal_files import read_journal
from pipeline.messages import Reason, ResultHeader
from support.lines import folder_camera, make_raw_config, paint_parts
from support.listener import Listener
from support.small_disk import on_small_disk, run_on_small_disk, seen_by
from support.station_process import COMMAND, StationProcess, write_config

DISK = "256k"
BALLAST_BYTES = 180_000


def test_a_full_disk_turns_accepts_into_rejects_until_there_is_room(tmp_path: Path) -> None:
    """A real disk, nearly full of something else, which is then removed."""
    raw = make_raw_config(tmp_path, [_camera(tmp_path)])
    disk = Path(raw["station"]["journal_dir"])
    disk.mkdir()
    within = [
        *on_small_disk(disk, DISK),
        "sh",
        "-c",
        f'head -c {BALLAST_BYTES} /dev/zero >{disk}/x; exec "$@"',
        "sh",
    ]
    with (
        Listener(f"ipc://{tmp_path}/results") as listener,
        StationProcess(write_config(tmp_path, raw), within=within) as station,
    ):
        listener.wait_for(lambda: len(_with(listener, Reason.JOURNAL_FAILED)) > 5, "rejects")
        listener.wait_for(lambda: bool(listener.statuses[-1].fault), "the fault")
        seen_by(station.pid, disk / "x").unlink()
        failed = len(listener.results)
        listener.wait_for(lambda: len(listener.results[failed:]) > 10, "results after it")
        listener.wait_for(lambda: listener.statuses[-1].fault is None, "the fault is over")
        [path] = seen_by(station.pid, disk).glob("*.journal")
        file = path.open("rb")  # outlives the disk
        station.terminate()
        listener.wait_for(lambda: listener.statuses[-1].state == "Halted", "the last words")
        code, out = station.finish()
    kept = tmp_path / path.name
    with file:
        kept.write_bytes(file.read())
    recorded = list(read_journal(kept))
    _check_account(listener.results, recorded)
    assert [(e.severity, e.code) for e in listener.events if e.kind == "fault"] == [
        ("error", Reason.JOURNAL_FAILED),
        ("info", 0),
    ]
    assert (code, "audit failed" in out) == (1, True)  # the journal lacks what it could not take
    assert "Traceback" not in station.errors


def _check_account(results: list[ResultHeader], recorded: list[ResultHeader]) -> None:
    """One result a trigger; every accept is on record, and all that is missing there was rejected for it."""
    assert Audit.from_results(results).failures() == []
    assert recorded == [result for result in results if result.reason_code != Reason.JOURNAL_FAILED]
    codes = [result.reason_code for result in results]
    begin = codes.index(Reason.JOURNAL_FAILED)
    end = len(codes) - codes[::-1].index(Reason.JOURNAL_FAILED)
    assert begin > 5
    assert codes == [Reason.OK] * begin + [Reason.JOURNAL_FAILED] * (end - begin) + [Reason.OK] * (
        len(codes) - end
    )


def test_shared_memory_that_is_too_small_stops_the_start_with_a_message(tmp_path: Path) -> None:
    camera = {
        "kind": "simulated",
        "name": "cam1",
        "width_px": 1920,
        "height_px": 1080,
        "pixel_format": "Mono8",
        "trigger": {"source": "line"},
    }
    config = write_config(tmp_path, make_raw_config(tmp_path, [camera]))
    done = run_on_small_disk([*COMMAND, "run", str(config)], "/dev/shm", "8m")
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "error: shared memory: found 8.0 MiB free in /dev/shm, expected 15.8 MiB (8 slots of 2076672 bytes): "
        "No space left on device. Free or enlarge it (Docker: --shm-size), or lower ring.slots."
    ]
    assert not list((tmp_path / "journal").glob("*"))


def _camera(root: Path) -> dict[str, Any]:
    parts = paint_parts(root / "parts", 10, defect_every=99)
    return folder_camera(parts, loop=True, rate_hz=50, trigger={"source": "freerun"})


def _with(listener: Listener, reason: Reason) -> list[ResultHeader]:
    return [result for result in listener.results if result.reason_code == reason]
