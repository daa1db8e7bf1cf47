"""The page beside a station: started again when it dies, ended with it, never started against its will."""

import os
import signal
import sys
from pathlib import Path

from support.dashboards import Process, page_config, status_of, wait_until
from support.lines import folder_camera, paint_parts
from tools.run_dashboard import Keeper


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_the_page_dies_without_harm_is_started_again_and_ends_with_the_station(tmp_path: Path) -> None:
    camera = folder_camera(paint_parts(tmp_path / "parts", 5), rate_hz=20, loop=True)
    config, address = page_config(tmp_path, [camera], enabled=True)
    with Process("run", str(config)) as line:
        line.wait_for_line("dashboard:")
        wait_until(lambda: status_of(address) == 200, "the page")
        [first] = _pages(line.popen.pid)
        os.kill(first, signal.SIGKILL)
        line.wait_for_line("dashboard:")
        [second] = _pages(line.popen.pid)
        assert second != first
        line.popen.kill()
        wait_until(lambda: not alive(second), "the end of the page")


def test_the_page_takes_what_the_line_leaves_and_ctrl_c_is_not_for_it(tmp_path: Path) -> None:
    camera = folder_camera(paint_parts(tmp_path / "parts", 5), rate_hz=20, loop=True)
    config, address = page_config(tmp_path, [camera], enabled=True)
    with Process("run", str(config)) as line:
        line.wait_for_line("dashboard:")
        [page] = _pages(line.popen.pid)
        assert os.getsid(page) == os.getsid(line.popen.pid), "priorities count within a session only"
        assert os.sched_getscheduler(page) == os.SCHED_IDLE
        os.kill(page, signal.SIGINT)
        assert _pending(page) >> (signal.SIGINT - 1) & 1
        assert status_of(address) == 200


def _pending(pid: int) -> int:
    """Signals that wait because they are blocked, a bit each."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("ShdPnd:")).split()[1], 16)


def _pages(station: int) -> list[int]:
    listing = "".join(path.read_text() for path in Path(f"/proc/{station}/task").glob("*/children"))
    return [int(pid) for pid in listing.split() if b"dashboard" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def test_a_page_that_cannot_be_is_not_started_again(tmp_path: Path) -> None:
    script = f"open({str(tmp_path / 'lives')!r}, 'a').write('x'); raise SystemExit(2)"
    keeper = Keeper([sys.executable, "-c", script])
    keeper.start()
    wait_until(lambda: not keeper.running, "the end of the keeper")
    assert (tmp_path / "lives").read_text() == "x"
    keeper.stop()
