"""The handshake: what must hold for every order of events, and the rules one by one."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from pipeline.gateways import registers
from pipeline.gateways.bank import Bank, Layout
from pipeline.gateways.registers import Shown
from pipeline.gateways.station_view import StationView
from pipeline.messages import CameraStatus, Reason, RecipeStatus, StatusHeader
from pipeline.requests import ChangeoverRequest
from support.block_plc import Seen, command, parse
from support.messages import example

MS = 1_000_000
PERIOD_MS = 100
RESULT_TIMEOUT_MS = 500
PLC_TIMEOUT_MS = 1_000


def status(**changes: Any) -> StatusHeader:
    camera = CameraStatus(name="cam1", state="ready", triggers=0, accepts=0, rejects=0, frames_skipped=0)
    usual = {"period_ms": PERIOD_MS, "ready": True, "fault": None, "recipe": None, "cameras": [camera]}
    header = msgspec.structs.replace(example("status"), state="ContinuousExecution", **{**usual, **changes})
    assert isinstance(header, StatusHeader)
    return header


def good(trigger_id: int) -> Shown:
    return Shown(trigger_id=trigger_id, accept=True, reason_code=0, score=0.5, threshold=1.0)


class Bench:
    """A bank, its station, a clock, and the PLC's words."""

    def __init__(self) -> None:
        self.now_ns = 10**9
        self.station = StationView()
        layout = Layout(
            camera="cam1",
            cameras=["cam1"],
            result_timeout_ns=RESULT_TIMEOUT_MS * MS,
            plc_timeout_ns=PLC_TIMEOUT_MS * MS,
        )
        self.bank = Bank(layout, self.station)
        self.number = 0
        self.said: dict[str, Any] = {}

    def pass_ms(self, duration_ms: int) -> None:
        self.now_ns += duration_ms * MS

    def hear(self, **changes: Any) -> None:
        self.station.take(status(**changes), now_ns=self.now_ns, age_ns=0)

    def say(self, **changes: Any) -> Any:
        self.said |= changes
        self.number += 1
        words = command(number=self.number & 0xFFFF, heartbeat=self.number, **self.said)
        return self.bank.command(words, self.now_ns)

    def trigger(self, trigger_id: int) -> Any:
        self.say(control=0)
        return self.say(control=registers.TRIGGER, trigger_id=trigger_id)

    def take(self, shown: Shown) -> None:
        self.bank.take(shown, self.now_ns)

    def seen(self) -> Seen:
        return parse(self.bank.words(self.now_ns))


@pytest.fixture
def bench() -> Bench:
    made = Bench()
    made.hear()
    return made


class Handshake(RuleBasedStateMachine):
    """Any order of results, statuses, commands and time."""

    @initialize()
    def begin(self) -> None:
        self.bench = Bench()
        self.last: Seen | None = None
        self.accepted: set[int] = set()
        self.recipe = 0

    @rule(ids=st.integers(0, 4), accept=st.booleans())
    def result(self, ids: int, accept: bool) -> None:
        self.bench.take(msgspec.structs.replace(good(ids), accept=accept, reason_code=0 if accept else 1))
        if accept:
            self.accepted.add(ids)

    @rule(ready=st.booleans(), recipe=st.sampled_from([None, "1", "2", "name"]))
    def station_speaks(self, ready: bool, recipe: str | None) -> None:
        summary = None if recipe is None else RecipeStatus(id=recipe, version=1, sha256="")
        self.bench.hear(ready=ready, recipe=summary)

    @rule(
        control=st.integers(0, 3),
        trigger_id=st.integers(0, 4),
        recipe=st.integers(0, 2),
        acknowledged=st.integers(0, 6),
        torn=st.booleans(),
    )
    def plc_speaks(self, torn: bool, **words: int) -> None:
        if torn:
            block = command(number=1, **words)
            block[23] += 1
            before = self.bench.bank.words(self.bench.now_ns)
            assert self.bench.bank.command(block, self.bench.now_ns) is None
            assert self.bench.bank.words(self.bench.now_ns) == before
        else:
            self.bench.say(**words)
            self.recipe = words["recipe"]

    @rule(duration_ms=st.integers(0, 700))
    def time_passes(self, duration_ms: int) -> None:
        self.bench.pass_ms(duration_ms)

    @rule()
    def station_restarts(self) -> None:
        self.bench.bank.station_restarted(self.bench.now_ns)

    @rule(trigger_id=st.integers(0, 4))
    def station_refuses(self, trigger_id: int) -> None:
        self.bench.bank.refuse(trigger_id, Reason.RECIPE_NOT_READY, self.bench.now_ns)

    @invariant()
    def block_holds(self) -> None:
        seen = self.bench.seen()
        fresh = self.bench.station.fresh(self.bench.now_ns)
        assert not seen.torn
        assert seen.has(registers.ACCEPT) + seen.has(registers.REJECT) == seen.has(registers.VALID)
        if seen.has(registers.ACCEPT):
            assert fresh
            assert seen.trigger_id in self.accepted
            assert self.recipe in (0, self.bench.station.recipe)
            assert seen.reason == 0
        if seen.has(registers.READY):
            assert fresh
            assert not seen.status & (registers.BUSY | registers.FAULT)
        triggers, accepts, rejects = seen.counts
        assert triggers == accepts + rejects + seen.has(registers.BUSY)
        if self.last is not None and self.last.seq == seen.seq:
            # Within one result nothing changes but bits, and those of it only to the worse.
            same = ("trigger_id", "score", "threshold", "regions", "bbox")
            assert all(getattr(self.last, name) == getattr(seen, name) for name in same)
            assert not (seen.has(registers.ACCEPT) and not self.last.has(registers.ACCEPT))
            assert not (seen.has(registers.VALID) and not self.last.has(registers.VALID))
        self.last = seen


TestHandshake = Handshake.TestCase
TestHandshake.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def test_the_usual_way(bench: Bench) -> None:
    assert bench.seen().has(registers.READY)
    request = bench.trigger(7)
    assert (request.trigger_id, request.camera) == (7, "cam1")
    assert bench.seen().has(registers.BUSY, registers.TRIGGER_ACK)
    bench.say(control=0)
    assert not bench.seen().has(registers.TRIGGER_ACK)
    bench.take(good(7))
    result = bench.seen()
    assert result.has(registers.VALID, registers.ACCEPT, registers.READY)
    assert (result.trigger_id, result.seq, result.counts) == (7, 1, (1, 1, 0))
    bench.say(acknowledged=1)
    assert not bench.seen().has(registers.VALID)


def test_an_old_acknowledgement_clears_nothing(bench: Bench) -> None:
    bench.say(acknowledged=1)
    bench.take(good(1))
    bench.say()
    assert bench.seen().has(registers.VALID)


@pytest.mark.parametrize(
    ("happens", "reason"),
    [
        (lambda b: b.pass_ms(RESULT_TIMEOUT_MS + 1) or b.hear(), Reason.LATE),
        (lambda b: b.pass_ms(3 * PERIOD_MS + 1), Reason.STATION_SILENT),
        (lambda b: b.bank.refuse(7, Reason.RECIPE_NOT_READY, b.now_ns), Reason.RECIPE_NOT_READY),
        (lambda b: b.bank.station_restarted(b.now_ns), Reason.STATION_SILENT),
    ],
    ids=["late", "silent", "refused", "restarted"],
)
def test_a_trigger_without_a_result_stays_a_reject(bench: Bench, happens: Any, reason: Reason) -> None:
    bench.trigger(7)
    happens(bench)
    seen = bench.seen()
    assert seen.has(registers.VALID, registers.REJECT)
    assert (seen.trigger_id, seen.reason) == (7, reason)
    bench.hear()
    bench.take(good(7))  # what comes too late
    assert bench.seen().seq == seen.seq
    assert not bench.seen().has(registers.ACCEPT)


def test_the_same_id_is_refused_while_its_result_may_still_come(bench: Bench) -> None:
    bench.trigger(7)
    bench.say(control=registers.RESET)
    assert bench.trigger(7) is None
    assert bench.seen().reason == Reason.DUPLICATE_TRIGGER


def test_results_of_others_do_not_displace_ones_own(bench: Bench) -> None:
    bench.trigger(7)
    bench.take(good(99))
    assert not bench.seen().has(registers.VALID)
    bench.take(good(7))
    bench.take(good(100))
    seen = bench.seen()
    assert (seen.trigger_id, seen.has(registers.OVERRUN)) == (7, True)
    bench.say(acknowledged=seen.seq)
    bench.take(good(101))
    assert bench.seen().trigger_id == 101
    bench.say(control=registers.RESET)
    assert not bench.seen().status & (registers.OVERRUN | registers.VALID)


def test_a_silent_plc_gets_no_ready(bench: Bench) -> None:
    bench.say()
    assert bench.seen().has(registers.READY, registers.PLC_HEARD)
    bench.pass_ms(PLC_TIMEOUT_MS + 1)
    bench.hear()
    assert not bench.seen().status & (registers.READY | registers.PLC_HEARD)
    assert bench.say(control=registers.TRIGGER, trigger_id=5) is None  # it may have stood there for long
    assert bench.trigger(6).trigger_id == 6


def test_a_recipe_that_is_not_active_lets_nothing_pass(bench: Bench) -> None:
    bench.say(recipe=3)
    bench.take(good(1))
    seen = bench.seen()
    assert seen.has(registers.REJECT)
    assert not seen.status & (registers.READY | registers.RECIPE_OK)
    assert bench.trigger(2) is None
    assert bench.seen().reason == Reason.RECIPE_MISMATCH
    bench.hear(recipe=RecipeStatus(id="3", version=1, sha256=""))
    assert bench.seen().has(registers.READY) is False
    bench.say(control=0)
    assert bench.seen().has(registers.READY, registers.RECIPE_OK)


def test_a_new_number_asks_for_the_changeover_once(bench: Bench) -> None:
    request = bench.say(recipe=3)
    assert isinstance(request, ChangeoverRequest)
    assert (request.recipe, request.operator) == (3, "PLC")
    assert bench.say() is None
    assert bench.say(recipe=0) is None
    assert isinstance(bench.say(recipe=3), ChangeoverRequest)
    bench.hear(recipe=RecipeStatus(id="3", version=1, sha256=""))
    assert bench.say(recipe=0) is None
    assert bench.say(recipe=3) is None
    assert bench.trigger(1).recipe == 3


def test_a_second_trigger_while_busy_is_a_reject(bench: Bench) -> None:
    bench.trigger(1)
    assert bench.trigger(2) is None
    assert (bench.seen().trigger_id, bench.seen().reason) == (2, Reason.TRIGGER_WHILE_BUSY)
    bench.take(good(1))
    assert bench.seen().trigger_id == 1
    assert bench.trigger(3).trigger_id == 3
    assert bench.trigger(3) is None  # the same again: its one result follows
    bench.take(good(3))
    assert bench.seen().has(registers.ACCEPT)


def test_the_number_wraps_and_leaves_out_zero(bench: Bench) -> None:
    for trigger_id in range(0xFFFF):
        bench.take(good(trigger_id))
    assert bench.seen().seq == 0xFFFF
    bench.take(good(1))
    assert bench.seen().seq == 1
