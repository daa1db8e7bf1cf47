"""Records of all processes: in files, bounded, never in the way."""

import json
import logging
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import ConfigError
from pipeline.log_config import LoggingConfig, LogSpec
from pipeline.logs import OURS, Logs, QueuedHandler, started
from support.lines import folder_camera, make_raw_config, paint_parts
from support.station_process import StationProcess, write_config


def _spec(directory: Path | None, **changes: Any) -> LogSpec:
    settings = LoggingConfig(directory=None if directory is None else str(directory), **changes)
    return LogSpec(process="capture-cam1", camera="cam1", epoch="e1", settings=settings)


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_record_says_which_process_camera_and_epoch(tmp_path: Path) -> None:
    with started(_spec(tmp_path)):
        logging.getLogger("pipeline.x").info("frame %d of %s", 7, "größe", extra={"kind": "camera"})
    [line] = _lines(tmp_path / "capture-cam1.jsonl")
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "frame 7 of größe",
        "level": "info",
        "logger": "pipeline.x",
        "process": "capture-cam1",
        "camera": "cam1",
        "epoch": "e1",
        "kind": "camera",
    }


def test_afterwards_logging_is_as_it_was() -> None:
    loggers = [logging.getLogger(name) for name in ("", *OURS)]
    before = [(logger.level, list(logger.handlers)) for logger in loggers]
    with started(_spec(None, level="debug", terminal_level="error")):
        assert [logger.level for logger in loggers] == [logging.WARNING, *[logging.ERROR] * len(OURS)]
    assert [(logger.level, logger.handlers) for logger in loggers] == before


def test_what_a_record_says_itself_counts(tmp_path: Path) -> None:
    with started(_spec(tmp_path)) as logs:
        logs.context["epoch"] = "e2"
        logging.getLogger("pipeline.x").info("a", extra={"camera": "cam2"})
        logging.getLogger("pipeline.x").info("b", extra={"camera": None})
    found = [(line["camera"], line["epoch"]) for line in _lines(tmp_path / "capture-cam1.jsonl")]
    assert found == [("cam2", "e2"), ("cam1", "e2")]


def test_libraries_are_heard_from_warnings_on(tmp_path: Path) -> None:
    with started(_spec(tmp_path, level="debug")):
        for name in ("pipeline.x", "asyncua.server", "asyncua"):
            for level in (logging.DEBUG, logging.INFO, logging.WARNING):
                logging.getLogger(name).log(level, "text")
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("old", DeprecationWarning, stacklevel=1)
    found = [(line["logger"], line["level"]) for line in _lines(tmp_path / "capture-cam1.jsonl")]
    assert found == [
        ("pipeline.x", "debug"),
        ("pipeline.x", "info"),
        ("pipeline.x", "warning"),
        ("asyncua.server", "warning"),
        ("asyncua", "warning"),
        ("py.warnings", "warning"),
    ]


def test_the_terminal_gets_text_from_its_level_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with started(_spec(tmp_path)):
        logging.getLogger("pipeline.x").info("not shown")
        logging.getLogger("pipeline.x").warning("a cable is out", extra={"kind": "camera"})
    [line] = capsys.readouterr().err.splitlines()
    assert "a cable is out" in line
    assert "warning" in line
    assert "camera=cam1" in line
    assert "e1" not in line


def test_without_a_directory_there_is_the_terminal_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with started(_spec(None)):
        assert not logging.getLogger("pipeline.x").isEnabledFor(logging.INFO)
        logging.getLogger("pipeline.x").warning("seen")
    assert "seen" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_files_are_cut_by_size_and_the_oldest_go(tmp_path: Path) -> None:
    with started(_spec(tmp_path, file_mib=0.001, files=3)):
        for number in range(60):
            logging.getLogger("pipeline.x").info("record %d", number)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["capture-cam1.jsonl", "capture-cam1.jsonl.1", "capture-cam1.jsonl.2"]
    assert all(path.stat().st_size <= 1.1 * 1024 for path in tmp_path.iterdir())
    assert _lines(tmp_path / "capture-cam1.jsonl")[-1]["event"] == "record 59"


class _Slow(logging.Handler):
    """A disk that hangs until it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.free = threading.Event(), threading.Event()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.begun.set()
        assert self.free.wait(10)
        self.texts.append(record.getMessage())


def test_a_disk_that_hangs_costs_records_and_no_time() -> None:
    slow = _Slow()
    handler = QueuedHandler([slow], records=10)
    logger = logging.Logger("x")
    logger.addHandler(handler)
    logger.info("first")
    assert slow.begun.wait(10)
    for number in range(100):
        logger.info("record %d", number)
    assert handler.dropped == 90
    slow.free.set()
    handler.close()
    assert "90 log records were dropped: more than 10 were waiting" in slow.texts
    assert slow.texts[-1] == "record 9"


def test_a_full_disk_is_told_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logs = Logs(_spec(tmp_path / "gone", terminal_level="error"))
    logs.open()
    for _ in range(3):
        logging.getLogger("pipeline.x").info("text")
    logs.close()
    err = capsys.readouterr().err
    assert err.count("warning: ") == 1
    assert "cannot be written: [Errno 2]" in err
    assert "Traceback" not in err


def test_an_exception_has_its_traceback(tmp_path: Path) -> None:
    with started(_spec(tmp_path)):
        try:
            raise ValueError("odd")
        except ValueError as error:
            sys.excepthook(ValueError, error, error.__traceback__)
    [line] = _lines(tmp_path / "capture-cam1.jsonl")
    assert (line["level"], line["event"]) == ("critical", "this process ends: odd")
    assert "test_logs.py" in line["exception"]


def test_everything_is_given_back(tmp_path: Path) -> None:
    before = list(logging.getLogger().handlers)
    with started(_spec(tmp_path)):
        assert logging.getLogger().handlers != before
    assert logging.getLogger().handlers == before
    assert sys.excepthook is sys.__excepthook__
    assert not [thread for thread in threading.enumerate() if thread.name == "log"]


def test_a_directory_that_is_a_file_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("")
    with (
        pytest.raises(ConfigError, match=r"logging\.directory: .*log cannot be written"),
        started(_spec(tmp_path / "log")),
    ):
        pass


def test_every_process_of_a_line_writes_its_file(tmp_path: Path) -> None:
    camera = folder_camera(paint_parts(tmp_path / "parts", 10), loop=True)
    raw = make_raw_config(tmp_path, [camera]) | {"logging": {"directory": str(tmp_path / "log")}}
    with StationProcess(write_config(tmp_path, raw)) as station:
        station.terminate()
        code, _ = station.finish()
    assert code == 0
    assert "Traceback" not in station.errors
    lines = _lines(tmp_path / "log" / "station.jsonl")
    texts = [line["event"] for line in lines]
    assert any(text.startswith("camera cam1 is ready") for text in texts)
    [epoch] = {line["epoch"] for line in lines}
    assert len(epoch) == 36
    assert {line["process"] for line in lines} == {"station"}
