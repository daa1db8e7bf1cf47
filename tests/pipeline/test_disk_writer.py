"""Records on their way to the disk: in order, told of in the caller's own turn, none forgotten at the end."""

import logging
import select
import threading
import time
from collections.abc import Iterator

import pytest

from pipeline.disk_writer import DiskWriter


@pytest.fixture
def writer() -> Iterator[DiskWriter]:
    writer = DiskWriter()
    yield writer
    writer.close()


def until_told(writer: DiskWriter, told: list[object], count: int) -> None:
    end_s = time.monotonic() + 30
    while len(told) < count and time.monotonic() < end_s:
        if select.select([writer.done], [], [], 1)[0]:
            writer.hear()
    assert len(told) == count


def test_what_is_given_is_written_in_order_and_nobody_waits_for_it(writer: DiskWriter) -> None:
    takes, written, told = threading.Event(), list[int](), list[object]()
    writer.write(lambda: _after(takes, written, 1), told.append)
    writer.write(lambda: written.append(2), told.append)
    assert (written, told) == ([], [])
    takes.set()
    until_told(writer, told, 2)
    assert (written, told) == ([1, 2], [None, None])


def test_a_refusal_is_told_and_the_next_record_is_written(writer: DiskWriter) -> None:
    written, told = list[int](), list[object]()
    writer.write(_refuse, told.append)
    writer.write(lambda: written.append(2), told.append)
    until_told(writer, told, 2)
    assert isinstance(told[0], OSError)
    assert (written, told[1]) == ([2], None)


def test_whoever_hears_may_give_the_next_one(writer: DiskWriter) -> None:
    told = list[object]()
    writer.write(_refuse, lambda _: writer.write(lambda: None, told.append))
    until_told(writer, told, 1)
    assert told == [None]


def test_the_end_waits_for_what_is_not_written_and_logs_what_could_not_be(
    caplog: pytest.LogCaptureFixture,
) -> None:
    writer, takes, written = DiskWriter(), threading.Event(), list[int]()
    writer.write(_refuse, _not_heard)
    writer.write(lambda: _after(takes, written, 1), _not_heard)
    threading.Timer(0.1, takes.set).start()
    with caplog.at_level(logging.ERROR):
        writer.close()
    assert written == [1]
    assert "no room" in caplog.text


def _after(takes: threading.Event, written: list[int], number: int) -> None:
    takes.wait(30)
    written.append(number)


def _refuse() -> None:
    raise OSError("no room")


def _not_heard(error: BaseException | None) -> None:
    raise AssertionError(f"heard of {error} at the end")
