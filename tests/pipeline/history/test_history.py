"""Replay, acknowledgement, backlog and heatmaps: from files, then asked of a running station's ROUTER."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zmq
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import requests
from pipeline.config import parse_config
from pipeline.heatmaps import unpack_heatmap
from pipeline.history.answers import PAGE_ITEMS, Answers
from pipeline.history.cursors import Cursors
from pipeline.history.journal import Journal
from pipeline.history.journal_files import journal_files
from pipeline.history.journal_index import JournalIndex
from pipeline.messages import HeatmapHeader
from pipeline.record_config import ConsumerConfig, JournalConfig
from pipeline.requests import ReplayRequest
from pipeline.wire import decode
from support.lines import Line, folder_camera, make_raw_config, paint_parts, running
from support.results import make_result

STREAM = "result/cam1"


class Reader:
    """A journal directory as a historian would answer from it."""

    def __init__(self, directory: Path, *, epoch: str = "epoch") -> None:
        self.index = JournalIndex(directory)
        self.cursors = Cursors(directory, [ConsumerConfig(name="mes")])
        self.answers = Answers(
            self.index,
            self.cursors,
            topics="hlgfa/1/demo/station1/",
            epoch=epoch,
            find_heatmap=lambda _: None,
        )

    def ask(self, request: Any, *, published: int = 0) -> list[list[bytes]]:
        return list(self.answers.answer(request, published=published))

    def replay(
        self, first: int, last: int, *, epoch: str = "epoch", published: int = 0
    ) -> tuple[list[int], requests.EndReply]:
        """One page: the numbers of the items, and the end."""
        request = ReplayRequest(epoch=epoch, stream=STREAM, first=first, last=last)
        *items, end = self.ask(request, published=published)
        reply = requests.decode_reply(end[0])
        assert isinstance(reply, requests.EndReply)
        return [decode(item[1], item[2:]).seq for item in items], reply

    def all(self, first: int, last: int, **more: Any) -> tuple[list[int], list[int]]:
        """All pages: what came, and what is gone."""
        came: list[int] = []
        gone: list[int] = []
        following: int | None = first
        while following is not None:
            items, end = self.replay(following, last, **more)
            came += items
            if end.gone is not None:
                gone += range(end.gone[0], end.gone[1] + 1)
            assert end.next is None or end.next > following
            following = end.next
        return came, gone


def write(directory: Path, ordinals: list[int], *, epoch: str = "epoch", file_mib: float = 0.002) -> None:
    with Journal(directory, epoch=epoch, settings=JournalConfig(file_mib=file_mib)) as journal:
        for ordinal in ordinals:
            journal.append(msgspec.structs.replace(make_result(ordinal), epoch=epoch))


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    write(tmp_path, list(range(1, 21)))
    reader = Reader(tmp_path)
    yield reader
    reader.index.close()


def test_a_range_comes_over_several_files_in_order_and_as_it_was_published(reader: Reader) -> None:
    assert len(journal_files(reader.index._directory)) > 5
    items, end = reader.replay(3, 17)
    assert items == list(range(3, 18))
    assert (end.gone, end.next) == (None, None)
    [item, _] = reader.ask(ReplayRequest(epoch="epoch", stream=STREAM, first=5, last=5))
    assert decode(item[1], item[2:]) == make_result(5)


def test_what_was_not_published_yet_is_no_gap_and_what_was_published_and_not_recorded_is_gone(
    reader: Reader,
) -> None:
    assert reader.replay(19, 30)[1].gone is None
    items, end = reader.replay(19, 30, published=22)
    assert (items, end.gone, end.next) == ([19, 20], (21, 22), None)


def test_files_that_retention_has_removed_are_gone(reader: Reader) -> None:
    files = journal_files(reader.index._directory)
    for file in files[:2]:
        file.path.unlink()
    reader.index.refresh()
    floor = reader.index.floor("epoch")[STREAM]
    assert floor > 1
    assert reader.all(1, 20) == (list(range(floor, 21)), list(range(1, floor)))


@given(st.lists(st.integers(1, 5), min_size=1, max_size=12))
@settings(max_examples=40, deadline=None)
def test_what_was_written_before_a_file_was_left_is_found(
    tmp_path_factory: pytest.TempPathFactory, portions: list[int]
) -> None:
    """The reader has seen a file as the last one; more is written to it, and then to the next ones."""
    directory = tmp_path_factory.mktemp("journal")
    reader, written = Reader(directory), 0
    with Journal(directory, epoch="epoch", settings=JournalConfig(file_mib=0.008)) as journal:
        for portion in portions:
            for _ in range(portion):
                written += 1
                journal.append(make_result(written))
            reader.replay(written, written, published=written)
    assert reader.all(1, written, published=written) == (list(range(1, written + 1)), [])
    reader.index.close()


def test_the_end_of_an_earlier_start_names_the_following_one(tmp_path: Path) -> None:
    for epoch in ("a", "b", "c"):
        write(tmp_path, [1, 2], epoch=epoch)
    reader = Reader(tmp_path, epoch="c")
    following = [reader.replay(1, 2**53, epoch=epoch)[1].following for epoch in ("a", "b", "c", "x")]
    assert following == ["b", "c", None, None]
    reader.index.close()


def test_an_unknown_start_or_stream_has_nothing(reader: Reader) -> None:
    assert reader.replay(1, 9, epoch="another")[0] == []
    request = ReplayRequest(epoch="epoch", stream="result/cam9", first=1, last=5)
    assert len(reader.ask(request)) == 1


def test_a_page_is_limited_and_says_where_to_go_on(tmp_path: Path) -> None:
    write(tmp_path, list(range(1, 601)), file_mib=16)
    reader = Reader(tmp_path)
    items, end = reader.replay(1, 600)
    assert items == list(range(1, PAGE_ITEMS + 1))
    assert end.next == PAGE_ITEMS + 1
    assert reader.all(1, 600) == (list(range(1, 601)), [])
    reader.index.close()


def test_the_file_that_is_being_written_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    with Journal(tmp_path, epoch="epoch") as journal:
        for ordinal in range(1, 6):
            journal.append(make_result(ordinal))
            assert reader.all(1, 9) == (list(range(1, ordinal + 1)), [])
        with journal.path.open("ab") as file:
            file.write(b"01234567 result/cam1 6 {")
        assert reader.all(1, 9) == ([1, 2, 3, 4, 5], [])
    reader.index.close()


@settings(deadline=None, max_examples=40)
@given(
    recorded=st.sets(st.integers(1, 30), min_size=1),
    damaged=st.sets(st.integers(1, 30)),
    first=st.integers(1, 32),
    length=st.integers(1, 32),
    published=st.integers(0, 32),
)
def test_every_number_comes_or_is_gone_exactly_once(
    tmp_path_factory: pytest.TempPathFactory,
    recorded: set[int],
    damaged: set[int],
    first: int,
    length: int,
    published: int,
) -> None:
    """Whatever the journal has failed to take, or a disk has damaged."""
    directory = tmp_path_factory.mktemp("journal")
    write(directory, sorted(recorded))
    for file in journal_files(directory):
        lines = file.path.read_bytes().splitlines(keepends=True)
        marks = [b" result/cam1 %d " % number for number in damaged]
        lines = [
            line.replace(b"trigger_id", b"trigger-id") if any(mark in line for mark in marks) else line
            for line in lines
        ]
        file.path.write_bytes(b"".join(lines))
    reader = Reader(directory)
    last = first + length - 1
    came, gone = reader.all(first, last, published=published)
    reader.index.close()
    assert came == sorted(number for number in recorded - damaged if first <= number <= last)
    newest = max(recorded | {published})
    assert set(came).isdisjoint(gone)
    known = max([*(recorded - damaged), published])
    assert set(range(first, min(last, known) + 1)) <= set(came) | set(gone)
    assert set(came) | set(gone) <= set(range(first, min(last, newest) + 1))


def test_a_consumer_acknowledges_and_asks_for_the_rest(tmp_path: Path) -> None:
    write(tmp_path, [1, 2, 3], epoch="a")
    write(tmp_path, [1, 2], epoch="b")
    reader = Reader(tmp_path, epoch="b")

    def backlog() -> list[tuple[str, int]]:
        [[frame]] = reader.ask(requests.BacklogRequest(consumer="mes", request_id="q"))
        reply = requests.decode_reply(frame)
        assert isinstance(reply, requests.BacklogReply)
        assert reply.request_id == "q"
        assert (reply.epoch, reply.kinds) == ("b", ["result"])
        return [(item.epoch, item.first) for item in reply.streams]

    def ack(seq: int, epoch: str | None = None) -> requests.Reply:
        [[frame]] = reader.ask(requests.AckRequest(consumer="mes", stream=STREAM, seq=seq, epoch=epoch))
        return requests.decode_reply(frame)

    assert backlog() == [("a", 1)]
    assert ack(2, "a") == requests.AckReply(consumer="mes", stream=STREAM, epoch="a", seq=2)
    assert backlog() == [("a", 3)]
    assert ack(1) == requests.AckReply(consumer="mes", stream=STREAM, epoch="b", seq=1)
    assert backlog() == [("b", 2)]
    assert ack(3, "a") == requests.AckReply(consumer="mes", stream=STREAM, epoch="b", seq=1)
    refused = ack(99)
    assert isinstance(refused, requests.ErrorReply)
    assert refused.error == "unknown"
    assert backlog() == [("b", 2)]
    ack(2)
    assert backlog() == [("b", 3)]
    again = Reader(tmp_path, epoch="b")
    assert again.cursors.position("mes", STREAM) == (2, 2)
    [[frame]] = reader.ask(requests.BacklogRequest(consumer="nobody"))
    unknown = requests.decode_reply(frame)
    assert isinstance(unknown, requests.ErrorReply)
    assert "expected one of config.yaml's consumers: mes" in unknown.text
    reader.index.close()
    again.index.close()


# Asked of a station


class Client:
    """A DEALER that asks one thing after another while the line listens."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._context = zmq.Context()
        self.socket = self._context.socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.connect(line.station.endpoints["replay"])

    def answers(self, request: object, count: int = 1) -> list[list[bytes]]:
        data = request if isinstance(request, bytes) else requests.encode(request)
        for _ in range(count):
            self.socket.send(data)
        found: list[list[bytes]] = []
        self._line.wait_for(lambda: self._take(found) >= count, "the answer")
        return found

    def _take(self, found: list[list[bytes]]) -> int:
        """How many answers are complete."""
        while self.socket.poll(20):
            found.append(self.socket.recv_multipart())
        return sum(b'"op":"item"' not in frames[0] for frames in found)

    def ask(self, request: object) -> Any:
        return requests.decode_reply(self.answers(request)[-1][0])

    def close(self) -> None:
        self._context.destroy(linger=0)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("station")


@pytest.fixture(scope="module")
def asked(root: Path) -> Iterator[tuple[Line, Client]]:
    """One station for all of these tests, and a client of it."""
    raw = make_raw_config(root, [folder_camera(paint_parts(root / "parts", 20), loop=True)])
    raw["consumers"] = [{"name": "mes"}]
    with running(parse_config(raw, origin="test")) as line:
        client = Client(line)
        line.wait_for(lambda: len(line.results) >= 20, "results")
        yield line, client
        client.close()


def test_a_station_replays_what_it_published(asked: tuple[Line, Client]) -> None:
    line, client = asked
    hello = client.ask(requests.HelloRequest())
    assert hello.operations == [
        "hello",
        "snapshot",
        "trigger",
        "release_hold",
        "replay",
        "heatmap",
        "ack",
        "backlog",
    ]
    epoch = line.results[0].epoch
    replay = ReplayRequest(epoch=epoch, stream=STREAM, first=1, last=20, request_id="r")
    *items, [end] = client.answers(replay)
    assert [decode(item[1], item[2:]) for item in items] == line.results[:20]
    assert {requests.decode_reply(item[0]).request_id for item in items} == {"r"}
    assert requests.decode_reply(end) == requests.EndReply(
        epoch=epoch, stream=STREAM, last=20, gone=None, next=None, request_id="r"
    )
    line.wait_for(lambda: STREAM in line.statuses[-1].oldest_seq, "the replay floor")
    assert line.statuses[-1].oldest_seq[STREAM] == 1
    events = client.answers(ReplayRequest(epoch=epoch, stream="event/model", first=1, last=9))
    assert "is ready" in decode(events[0][1], events[0][2:]).text  # type: ignore[union-attr]


def test_a_station_gives_a_heatmap_again(asked: tuple[Line, Client]) -> None:
    line, client = asked
    wanted = next(m for m in line.messages if isinstance(m.header, HeatmapHeader))
    assert isinstance(wanted.header, HeatmapHeader)
    [[reply, topic, header, payload]] = client.answers(
        requests.HeatmapRequest(result_id=wanted.header.result_id)
    )
    found = requests.decode_reply(reply)
    assert isinstance(found, requests.HeatmapReply)
    assert (found.result_id, found.found) == (wanted.header.result_id, True)
    again = decode(topic, [header, payload])
    assert again == wanted.header
    assert isinstance(again, HeatmapHeader)
    assert (unpack_heatmap(again, payload) == wanted.anomaly_map()).all()
    assert not client.ask(requests.HeatmapRequest(result_id="unknown")).found


def test_what_a_consumer_acknowledges_is_on_the_disk(asked: tuple[Line, Client], root: Path) -> None:
    _, client = asked
    reply = client.ask(requests.AckRequest(consumer="mes", stream=STREAM, seq=7))
    assert reply.seq == 7
    assert b'"result/cam1":[1,7]' in (root / "journal" / "mes.cursor").read_bytes()
    [ahead] = client.ask(requests.BacklogRequest(consumer="mes")).streams
    assert (ahead.stream, ahead.first) == (STREAM, 8)


def test_too_many_requests_are_refused_and_the_line_does_not_notice(asked: tuple[Line, Client]) -> None:
    line, client = asked
    request = ReplayRequest(epoch=line.results[0].epoch, stream=STREAM, first=1, last=20)
    replies = [requests.decode_reply(frames[0]) for frames in client.answers(request, count=40)]
    ends = [reply for reply in replies if isinstance(reply, requests.EndReply)]
    refused = [reply for reply in replies if isinstance(reply, requests.ErrorReply)]
    assert ends
    assert len(ends) + len(refused) == 40
    assert {reply.error for reply in refused} <= {"busy"}
    assert isinstance(client.ask(requests.HelloRequest()), requests.HelloReply)
    before = len(line.results)
    line.wait_for(lambda: len(line.results) >= before + 5, "more results")


@pytest.mark.parametrize(
    "data",
    [
        b'{"op":"replay","epoch":"e","stream":"s","from":0,"to":9}',
        b'{"op":"replay","epoch":"e","stream":"s","from":1,"to":99999999999999999999}',
        b'{"op":"replay"}',
        b'{"op":"ack","consumer":"mes","stream":"result/cam1","seq":-1}',
        b'{"op":"ack","consumer":"%s","stream":"s","seq":1}' % (b"x" * 200),
        b'{"op":"heatmap","result_id":7}',
    ],
)
def test_a_malformed_request_of_the_record_is_an_error(asked: tuple[Line, Client], data: bytes) -> None:
    _, client = asked
    reply = client.ask(data)
    assert isinstance(reply, requests.ErrorReply)
    assert reply.error == "malformed"


def test_paths_do_not_get_out_of_the_journal(asked: tuple[Line, Client]) -> None:
    _, client = asked
    assert client.ask(requests.AckRequest(consumer="../x", stream=STREAM, seq=1)).error == "unknown"
    replay = ReplayRequest(epoch="../../etc", stream="../passwd", first=1, last=2)
    assert client.ask(replay).gone is None
    assert not client.ask(requests.HeatmapRequest(result_id="../../etc/passwd")).found


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_historian_that_goes_is_replaced_and_the_line_stays_ready(
    tmp_path: Path, number: signal.Signals
) -> None:
    raw = make_raw_config(
        tmp_path, [folder_camera(paint_parts(tmp_path / "parts", 20), loop=True)], child_silence_ms=1_000
    )
    raw["ring"] = {"slots": 32}  # a second start of a process slows a busy machine down
    with running(parse_config(raw, origin="test")) as line:
        client = Client(line)
        line.wait_for(lambda: len(line.results) >= 5, "results")
        pid = line.station.process_ids["historian"]
        os.kill(pid, number)
        request = ReplayRequest(epoch=line.results[0].epoch, stream=STREAM, first=1, last=5)
        assert isinstance(client.ask(request), requests.ErrorReply | requests.EndReply)
        line.wait_for(lambda: line.station.process_ids.get("historian", pid) != pid, "a new historian")
        line.wait_for(lambda: isinstance(client.ask(request), requests.EndReply), "a replay")
        line.wait_for(lambda: line.statuses[-1].fault is None, "no fault")
        assert all(status.ready for status in line.statuses if status.state == "ContinuousExecution")
        client.close()
        line.station.stop()
        report = line.finish()
    assert report.restarts == 1
    odd = {(result.reason_code, result.reason) for result in line.results if result.reason_code > 1}
    assert odd == set()
