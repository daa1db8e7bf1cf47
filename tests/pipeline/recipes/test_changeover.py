"""The rules of one changeover, whatever happens in whatever order."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pipeline.recipes.changeover import Changeover, Step, Tell

CAMERAS = ("a", "b")
ENDS = {"switched", "rolled_back", "failed"}


def told(steps: list[Step]) -> list[str]:
    return [step.state for step in steps if isinstance(step, Tell)]


def test_without_camera_settings_it_switches_as_soon_as_no_part_is_open() -> None:
    machine = Changeover()
    assert machine.begin([]) == [Tell("loading"), "start_standby"]
    assert machine.verified() == [Tell("verified"), "hold"]
    assert machine.drained() == ["record"]
    assert machine.recorded() == ["switch", "release", Tell("switched")]
    assert machine.phase == "idle"


def test_every_camera_takes_its_settings_before_the_switch() -> None:
    machine = Changeover()
    machine.begin(CAMERAS)
    machine.verified()
    assert machine.drained() == ["set_cameras"]
    assert machine.camera_ready("a") == []
    assert machine.camera_ready("a") == []
    assert machine.camera_ready("b") == ["record"]


def test_a_camera_that_refuses_has_all_of_them_restored() -> None:
    machine = Changeover()
    machine.begin(CAMERAS)
    machine.verified()
    machine.drained()
    machine.camera_ready("a")
    assert machine.fail("no such exposure") == ["drop_standby", "restore_cameras"]
    assert machine.camera_ready("b") == []
    end = machine.camera_ready("a")
    assert end == ["drop_standby", "release", Tell("rolled_back", "no such exposure")]


def test_a_camera_that_does_not_come_back_holds_nothing_up() -> None:
    machine = Changeover()
    machine.begin(CAMERAS)
    machine.verified()
    machine.drained()
    machine.fail("why")
    machine.camera_ready("a")
    text = "why; not back with their old settings yet: b"
    assert machine.give_up() == ["drop_standby", "release", Tell("rolled_back", text)]


def test_what_fails_before_the_line_was_touched_has_failed() -> None:
    machine = Changeover()
    machine.begin(CAMERAS)
    assert machine.fail("corrupt") == ["drop_standby", Tell("failed", "corrupt")]
    assert machine.phase == "idle"


def test_one_at_a_time() -> None:
    machine = Changeover()
    machine.begin([])
    with pytest.raises(ValueError, match="found one that is loading, expected none under way"):
        machine.begin([])
    assert machine.verified() == [Tell("verified"), "hold"]


class Machine(RuleBasedStateMachine):
    """Anything may come at any time; the line is modelled by what the steps do to it."""

    def __init__(self) -> None:
        super().__init__()
        self.machine = Changeover()
        self.held = self.loaded = self.new_cameras = False
        self.ready: set[str] = set()
        self.cameras: list[str] = []
        self.open = 0
        self.said: list[str] = []

    def do(self, steps: list[Step]) -> None:
        for step in steps:
            if isinstance(step, Tell):
                self.said.append(step.state)
            elif step == "hold":
                assert not self.held
                self.held = True
            elif step == "release":
                assert self.held
                self.held = False
            elif step == "set_cameras":
                assert self.held
                self.new_cameras, self.ready = True, set()
            elif step == "restore_cameras":
                assert self.new_cameras
                self.new_cameras, self.ready = False, set()
            elif step == "switch":
                assert self.held
                assert self.loaded
                assert self.open == 0
                assert set(self.cameras) <= self.ready
                self.new_cameras = False  # they are the usual ones from now on
            elif step == "drop_standby":
                self.loaded = False

    @precondition(lambda self: self.machine.phase == "idle")
    @rule(cameras=st.lists(st.sampled_from(CAMERAS), unique=True))
    def begin(self, cameras: list[str]) -> None:
        self.cameras, self.loaded, self.said, self.ready = cameras, False, [], set()
        self.do(self.machine.begin(cameras))

    @precondition(lambda self: self.machine.phase == "loading")
    @rule()
    def load(self) -> None:
        self.loaded = True
        self.do(self.machine.verified())

    @precondition(lambda self: not self.held)
    @rule()
    def trigger(self) -> None:
        self.open += 1

    @rule()
    def decide(self) -> None:
        self.open = max(0, self.open - 1)
        if self.open == 0:
            self.do(self.machine.drained())

    @rule(name=st.sampled_from(CAMERAS))
    def camera(self, name: str) -> None:
        self.ready.add(name)
        self.do(self.machine.camera_ready(name))

    @rule()
    def record(self) -> None:
        self.do(self.machine.recorded())

    @rule()
    def fail(self) -> None:
        self.do(self.machine.fail("why"))

    @rule()
    def give_up(self) -> None:
        self.do(self.machine.give_up())

    @invariant()
    def it_ends_once_and_lets_go_of_the_line(self) -> None:
        ends = [said for said in self.said if said in ENDS]
        if self.machine.phase == "idle":
            assert not self.held
            assert not self.new_cameras
            assert len(ends) == (1 if self.said else 0)
        else:
            assert ends == []


TestAnyOrder = Machine.TestCase
TestAnyOrder.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
