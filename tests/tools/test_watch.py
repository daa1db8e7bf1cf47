"""`hlgfa watch` and the README's example, as processes against a real publisher."""

import io
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from pipeline.client import Message
from pipeline.stream_check import Gap, Stale
from support.messages import await_subscriptions, example, open_publisher, publish, publish_status
from tools.watch_text import printable, score_bar, score_text
from tools.watch_view import WatchView

WATCH = [sys.executable, "-c", "from tools.cli import main; main()", "watch"]
EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "examples" / "subscribe.py"


@pytest.fixture
def publisher():
    with open_publisher() as publisher:
        yield publisher


def start(publisher, *arguments, command=WATCH):
    process = subprocess.Popen(
        [*command, publisher.results_endpoint, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    await_subscriptions(publisher, 1)
    return process


def finish(process):
    out, err = process.communicate(timeout=30)
    assert err == ""
    return out.splitlines()


def publish_result(publisher, **fields):
    deadline = {"deadline_ns": "999999999999999"}
    return publish(publisher, "result", camera="cam1", **{**deadline, **fields})


def test_in_a_pipe_it_prints_lines(publisher):
    process = start(publisher, "--count", "2")
    publish_status(publisher)
    publish_result(publisher)
    publish_result(publisher, disposition="accept", reason_code=0, reason="ok", part_id=None)
    lines = finish(process)
    assert process.returncode == 0
    assert lines[0] == "press-3/outfeed: READY"
    assert "P001842  REJECT  score 0.4375  threshold 0.3125  41.3 ms  the score is not under" in lines[1]
    assert "#1842  ACCEPT" in lines[2]


def test_as_json_every_message_is_one_line(publisher):
    process = start(publisher, "--json", "--count", "1")
    publish_status(publisher, last_seq={})
    publish_status(publisher, last_seq={"result/cam1": 3})
    sent = publish_result(publisher)
    found = [json.loads(line) for line in finish(process)]
    assert [line.get("notice") for line in found] == [None, "Gap", None, "Repeat", None]
    assert found[1] == {"notice": "Gap", "stream": "result/cam1", "first": 1, "last": 3}
    assert found[-1]["header"] == json.loads(msgspec.json.encode(sent))
    assert found[-1]["expired"] is True


def test_ctrl_c_ends_it_with_zero_and_without_a_traceback(publisher):
    process = start(publisher)
    publish_status(publisher)
    assert process.stdout.readline() == "press-3/outfeed: READY\n"
    process.send_signal(signal.SIGINT)
    assert finish(process) == []
    assert process.returncode == 0


def test_a_reader_that_goes_away_ends_it_quietly(publisher):
    process = start(publisher)
    process.stdout.close()
    while process.poll() is None:
        publish_result(publisher)
        time.sleep(0.001)  # paces the results; the state waited for is the process's end
    assert process.stderr.read() == ""
    assert process.returncode == 0
    process.stderr.close()


def test_an_impossible_address_is_one_line_and_exit_code_2():
    done = subprocess.run([*WATCH, "nonsense"], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: address: found 'nonsense'")
    assert len(done.stderr.splitlines()) == 1


def test_on_a_terminal_it_draws_and_ctrl_c_ends_it(publisher):
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "30"}
    process = subprocess.Popen(
        [*WATCH, publisher.results_endpoint], stdout=theirs, stderr=theirs, env=environment, close_fds=True
    )
    os.close(theirs)
    await_subscriptions(publisher, 1)
    publish_status(publisher)
    publish_result(publisher, part_id="P-ON-SCREEN")
    shown = ""
    while "P-ON-SCREEN" not in shown:
        assert select.select([ours], [], [], 20)[0], shown
        shown += os.read(ours, 65536).decode(errors="replace")
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == 0
    os.close(ours)
    assert "READY" in shown
    assert "Traceback" not in shown


def test_the_example_of_the_readme_runs_and_stops_when_the_station_is_gone(publisher):
    process = start(publisher, command=[sys.executable, "-u", str(EXAMPLE)])
    publish_status(publisher, period_ms=100)
    publish_result(publisher)
    out, err = process.communicate(timeout=30)
    assert out == "P001842 reject 0.4375\n"
    assert err == "No status from the station: treat every part as rejected.\n"
    assert process.returncode == 1


def test_the_example_of_the_readme_is_short():
    lines = EXAMPLE.read_text().split('"""', 2)[2].splitlines()
    assert len([line for line in lines if line.strip()]) <= 15


# The view


def draw(view, *, width=80, height=24):
    console = Console(width=width, height=height, record=True, force_terminal=True, file=io.StringIO())
    console.print(view.render(height))
    return console.export_text()


def view_of(*items):
    view = WatchView("tcp://127.0.0.1:5550")
    for item in items:
        view.take(item)
    return view


def message(kind, *, expired=False, **fields):
    return Message(header=msgspec.structs.replace(example(kind), **fields), expired=expired)


def test_the_screen_says_state_counts_scores_and_warnings():
    shown = draw(view_of(message("status"), message("result"), Gap("result/cam1", 3, 4)))
    for text in ("READY", "press-3/outfeed", "1829", "0.7", "REJECT", "anomaly", "0.4375", "41.3", "lost 2"):
        assert text in shown
    assert "lost 2 of result/cam1: 3 to 4" in shown


@pytest.mark.parametrize(
    ("items", "words"),
    [
        ([], "CONNECTING"),
        ([Stale("")], "NO STATION HEARD"),
        ([message("status"), Stale("press-3/outfeed")], "NOT READY, no fresh status"),
        ([message("status", expired=True)], "NOT READY, no fresh status"),
        ([message("status", ready=False, state="Initialized")], "NOT READY, Initialized"),
        ([message("status", fault="camera lost")], "FAULT, camera lost"),
        ([message("event"), message("status")], "error camera: cam1 was lost"),
        ([message("result", expired=True)], "EXPIRED anomaly"),
        ([message("result", score=None, reason_code=11)], "no frame"),
        ([message("status"), message("result", simulated=True)], "SIMULATED"),
    ],
)
def test_the_screen_names_what_matters(items, words):
    assert words in draw(view_of(*items), width=100)


def test_the_screen_fits_the_terminal():
    view = view_of(message("status"), *[message("result")] * 40, *[Gap("status", 1, 1)] * 5)
    for height in (10, 16, 24, 50):
        assert len(draw(view, height=height).splitlines()) <= max(height, 13)


def test_hostile_text_is_shown_and_not_obeyed():
    hostile = "[bold]x[/nope]\x1b[2J\n"
    shown = draw(
        view_of(message("status", fault=hostile), message("result", part_id=hostile, camera=hostile))
    )
    assert "[bold]x[/nope]?[2J?" in shown
    assert "\x1b" not in printable(hostile)


@pytest.mark.parametrize(
    ("score", "bar"),
    [
        (0.0, "          │     "),
        (0.5, "█████     │     "),
        (0.9999, "█████████ │     "),
        (1.0, "██████████│█    "),
        (9.0, "██████████│█████"),
        (None, "no score  │     "),
    ],
)
def test_the_bar_passes_the_mark_exactly_when_the_score_is_not_under_the_threshold(score, bar):
    assert score_bar(score, 1.0) == bar


def test_scores_have_as_many_decimals_as_their_threshold_needs():
    assert [score_text(score, 0.03125) for score in (0.5, 0.001)] == ["0.50000", "0.00100"]
    assert score_text(1234.5678, 4000) == "1235"
    assert score_text(None, 1) == "-"
    assert score_text(0.5, None) == "0.5"
