"""The pure core of recovery against a model of a station: exactly once and in order, whatever is lost."""

from dataclasses import dataclass, field

import hypothesis
import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import requests
from pipeline.access.limits import RequestLimits
from pipeline.messages import AnyHeader, ResultHeader
from pipeline.recovery import AGAIN_NS, TIMEOUT_NS, Recovery
from pipeline.requests import Backlog, EndReply, ErrorReply, ItemReply, ReplayRequest
from pipeline.stream_check import Lost
from pipeline.wire import encode, topic_of
from support.messages import example
from support.results import make_result

STREAM = "result/cam1"
PAGE = 4
GAPS = 900


def result(seq: int, epoch: str = "a") -> ResultHeader:
    return msgspec.structs.replace(make_result(seq), epoch=epoch, result_id=f"{epoch}-{seq}")


def status(last: int, epoch: str = "a") -> AnyHeader:
    return msgspec.structs.replace(example("status"), epoch=epoch, last_seq={STREAM: last, "status": 1})


@dataclass
class Server:
    """What a station would answer; `gone` numbers are not in its journal."""

    starts: dict[str, int] = field(default_factory=lambda: {"a": 0})
    gone: set[tuple[str, int]] = field(default_factory=set)

    @property
    def epoch(self) -> str:
        return list(self.starts)[-1]

    def answer(self, request: ReplayRequest) -> list[list[bytes]]:
        frames = []
        last = min(request.last, self.starts.get(request.epoch, 0))
        seq, gone = request.first, None
        while seq <= last and len(frames) < PAGE:
            if (request.epoch, seq) in self.gone:
                end = seq
                while end < last and (request.epoch, end + 1) in self.gone:
                    end += 1
                gone, seq = (seq, end), end + 1
                break
            header = result(seq, request.epoch)
            item = requests.encode(ItemReply(request_id=request.request_id))
            frames.append([item, topic_of(header), encode(header)])
            seq += 1
        epochs = list(self.starts)
        place = epochs.index(request.epoch) + 1 if request.epoch in epochs else len(epochs)
        end_reply = EndReply(
            request_id=request.request_id,
            epoch=request.epoch,
            stream=request.stream,
            last=seq - 1,
            gone=gone,
            next=seq if seq <= last else None,
            following=epochs[place] if place < len(epochs) else None,
        )
        return [*frames, [requests.encode(end_reply)]]


def names(recovery: Recovery) -> list[str]:
    """What came out, each number once: `a1`, or `-a1` for one that is lost."""
    found = []
    while recovery.ready:
        item = recovery.ready.popleft()
        if isinstance(item, Lost):
            found += [f"-{item.epoch}{seq}" for seq in range(item.first, item.last + 1)]
        else:
            found.append(f"{item.epoch}{item.seq}")
    return found


def settle(recovery: Recovery, server: Server, now_ns: int = 0) -> int:
    """Answer until nothing is asked for; returns the time."""
    for _ in range(1_000):
        due = recovery.due_ns()
        if due is None:
            return now_ns
        now_ns = max(now_ns, due)
        request = recovery.request(now_ns)
        for frames in server.answer(request) if request is not None else []:
            recovery.answer(frames, now_ns)
    raise AssertionError("it asks without end")


def test_who_joins_late_begins_there() -> None:
    recovery = Recovery()
    recovery.live(result(57))
    recovery.live(result(58))
    assert recovery.due_ns() is None
    assert names(recovery) == ["a57", "a58"]


def test_a_gap_is_filled_in_its_place() -> None:
    recovery = Recovery()
    for seq in (1, 2, 9, 10):
        recovery.live(result(seq))
    assert names(recovery) == ["a1", "a2"]
    settle(recovery, Server({"a": 10}))
    assert names(recovery) == [f"a{seq}" for seq in range(3, 11)]


def test_a_last_message_that_was_lost_shows_in_the_status() -> None:
    recovery = Recovery()
    recovery.live(status(0))
    recovery.live(status(2))
    settle(recovery, Server({"a": 2}))
    assert names(recovery) == ["a1", "a2"]


def test_what_is_gone_is_said_once_in_its_place() -> None:
    recovery = Recovery()
    recovery.live(result(1))
    recovery.live(result(9))
    settle(recovery, Server({"a": 9}, gone={("a", 2), ("a", 3), ("a", 6)}))
    assert names(recovery) == ["a1", "-a2", "-a3", "a4", "a5", "-a6", "a7", "a8", "a9"]


def test_the_end_of_a_start_and_a_start_that_was_missed_come_before_the_next_one() -> None:
    recovery = Recovery()
    recovery.live(result(1))
    recovery.live(result(2, "c"))
    settle(recovery, Server({"a": 3, "b": 2, "c": 2}))
    assert names(recovery) == ["a1", "a2", "a3", "b1", "b2", "c1", "c2"]
    recovery.live(result(4))
    assert names(recovery) == []


def test_a_request_that_is_not_answered_is_sent_again() -> None:
    recovery = Recovery()
    recovery.live(result(1))
    recovery.live(result(3))
    first = recovery.request(0)
    assert first is not None
    assert recovery.request(TIMEOUT_NS - 1) is None
    second = recovery.request(TIMEOUT_NS)
    assert second is not None
    assert second.request_id != first.request_id
    for frames in Server({"a": 3}).answer(first):
        recovery.answer(frames, TIMEOUT_NS)
    assert names(recovery) == ["a1"]
    busy = requests.encode(ErrorReply(error="busy", text="", request_id=second.request_id))
    recovery.answer([busy], TIMEOUT_NS)
    assert recovery.request(TIMEOUT_NS) is None
    assert recovery.due_ns() == TIMEOUT_NS + AGAIN_NS
    settle(recovery, Server({"a": 3}), TIMEOUT_NS)
    assert names(recovery) == ["a2", "a3"]


def test_many_gaps_are_asked_for_no_faster_than_a_station_lets_a_client_ask() -> None:
    """Each answer comes at once, as on one machine."""
    limits, server, recovery = RequestLimits(), Server({"a": 2 * GAPS + 1}), Recovery()
    for seq in range(1, 2 * GAPS + 2, 2):
        recovery.live(result(seq))
    now_ns, asked = 0, 0
    while (due_ns := recovery.due_ns()) is not None:
        now_ns = max(now_ns, due_ns)
        request = recovery.request(now_ns)
        assert request is not None
        asked += 1
        assert limits.allows(b"reader", now_ns), f"request {asked} is refused"
        for frames in server.answer(request):
            recovery.answer(frames, now_ns)
    assert names(recovery) == [f"a{seq}" for seq in range(1, 2 * GAPS + 2)]
    assert asked == GAPS


def test_a_backlog_is_replayed_from_its_beginning_and_then_live_goes_on() -> None:
    backlog = [Backlog(epoch="a", stream=STREAM, first=2)]
    recovery = Recovery(kinds=["result"], epoch="b", backlog=backlog)
    recovery.live(result(3, "b"))
    settle(recovery, Server({"a": 3, "b": 3}))
    assert names(recovery) == ["a2", "a3", "b1", "b2", "b3"]
    recovery.live(result(4, "b"))
    assert names(recovery) == ["b4"]


def test_a_stream_that_a_consumer_has_never_heard_of_begins_at_its_first_message() -> None:
    recovery = Recovery(kinds=["result"], epoch="a")
    recovery.live(result(3))
    settle(recovery, Server({"a": 3}))
    assert names(recovery) == ["a1", "a2", "a3"]


STEP = st.one_of(
    st.tuples(st.just("publish"), st.booleans()),
    st.tuples(st.just("status"), st.booleans()),
    st.tuples(st.just("restart"), st.booleans()),
    st.tuples(st.just("answer"), st.lists(st.booleans(), max_size=5)),
)


@settings(deadline=None, max_examples=300)
@given(steps=st.lists(STEP, max_size=60), holes=st.sets(st.integers(1, 20), max_size=4))
@hypothesis.example(steps=[("publish", False), ("publish", True), ("answer", [True])], holes=set())
def test_exactly_once_and_in_order_whatever_is_lost(
    steps: list[tuple[str, bool | list[bool]]], holes: set[int]
) -> None:
    """Live messages, statuses, requests and single frames of answers get lost; the station restarts."""
    server = Server()
    server.gone = {("a", seq) for seq in holes}
    recovery = Recovery()
    recovery.live(status(0))  # it is there from the beginning
    now_ns, heard = 0, {"a"}
    for step, arrives in steps:
        now_ns += TIMEOUT_NS // 3
        if step == "publish":
            server.starts[server.epoch] += 1
            if arrives:
                recovery.live(result(server.starts[server.epoch], server.epoch))
                heard.add(server.epoch)
        elif step == "status" and arrives:
            recovery.live(status(server.starts[server.epoch], server.epoch))
            heard.add(server.epoch)
        elif step == "restart":
            server.starts[chr(ord(server.epoch) + 1)] = 0
        elif step == "answer":
            request = recovery.request(now_ns)
            assert isinstance(arrives, list)
            for frames, comes in zip(server.answer(request) if request else [], arrives, strict=False):
                if comes:
                    recovery.answer(frames, now_ns)
    recovery.live(status(server.starts[server.epoch], server.epoch))
    settle(recovery, server, now_ns + TIMEOUT_NS)
    found = names(recovery)
    expected = [(epoch, seq) for epoch, last in server.starts.items() for seq in range(1, last + 1)]
    assert [name.removeprefix("-") for name in found] == [f"{epoch}{seq}" for epoch, seq in expected]
    lost = {(name[1], int(name[2:])) for name in found if name.startswith("-")}
    assert lost <= server.gone
