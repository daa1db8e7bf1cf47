"""Status and stats on a clock of the test's own; what is in them is real, but nothing is sent."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from pipeline.disk_writer import DiskWriter
from pipeline.heartbeat import Heartbeat
from pipeline.history.history_line import HistoryLine
from pipeline.history.journal import Journal
from pipeline.judge import Trigger, TriggerLedger
from pipeline.messages import Reason, RecipeSummary, StatsHeader, StatusHeader
from pipeline.outbox import Outbox
from support.lines import folder_camera, make_config
from support.messages import open_publisher

PERIOD_NS = 100_000_000


class Parts:
    """A heartbeat and what it tells of; `published` is everything that went out, oldest first."""

    def __init__(self, root: Path, stack: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
        config = make_config(root, [folder_camera(root)], status_period_ms=100, stats_period_s=60.0)
        self.published: list[Any] = []
        self.ledger = TriggerLedger(guard_ns=0)
        publisher = stack.enter_context(open_publisher())
        monkeypatch.setattr(publisher, "publish", self.published.append)
        history = HistoryLine(None, None)  # type: ignore[arg-type]  # nothing is asked of its process
        self.outbox = Outbox(
            config,
            ledger=self.ledger,
            journal=stack.enter_context(Journal(root / "journal", epoch="e")),
            publisher=publisher,
            history=history,
            writer=stack.enter_context(closing(DiskWriter())),
        )
        self.heartbeat = Heartbeat(
            config.station, ledger=self.ledger, outbox=self.outbox, publisher=publisher, history=history
        )

    def status(self, *, changing: bool = False) -> StatusHeader:
        """Have the status published, and return it."""
        self.heartbeat.status(
            state="ContinuousExecution",
            ready=True,
            depth=0,
            lines=[],
            engine="ready",
            changing=changing,
        )
        status = self.published[-1]
        assert isinstance(status, StatusHeader)
        return status

    def reject(self) -> None:
        """Open a trigger, and reject and publish it."""
        now_ns = time.monotonic_ns()
        trigger = Trigger(
            ordinal=1, camera="cam1", trigger_id=1, source="plc", triggered_ns=now_ns, deadline_ns=now_ns
        )
        self.ledger.open(trigger, now_ns)
        judgement = self.ledger.reject(1, Reason.NO_FRAME, "no frame", now_ns)
        assert judgement is not None
        self.outbox.conclude(judgement)


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Parts]:
    with ExitStack() as stack:
        yield Parts(tmp_path, stack, monkeypatch)


def test_a_status_is_due_once_a_period_and_at_once_when_something_has_changed(parts: Parts) -> None:
    begun_ns = time.monotonic_ns()
    assert parts.heartbeat.status_due(begun_ns)
    parts.status()
    assert not parts.heartbeat.status_due(begun_ns)
    assert parts.heartbeat.status_due(time.monotonic_ns() + PERIOD_NS)
    parts.heartbeat.status_now()
    assert parts.heartbeat.status_due(begun_ns)


def test_a_status_counts_on_and_names_the_faults_until_they_are_mended(parts: Parts) -> None:
    parts.outbox.fault("inspection", "the engine died")
    parts.outbox.fault("journal", "the disk is full")
    first = parts.status()
    parts.outbox.fault("inspection", None)
    second = parts.status()
    parts.outbox.fault("journal", None)
    assert (first.counter, first.fault) == (1, "the engine died; the disk is full")
    assert (second.counter, second.fault) == (2, "the disk is full")
    assert parts.status().fault is None


def test_a_status_says_whether_its_recipe_is_being_changed(parts: Parts) -> None:
    assert parts.status().recipe is None
    parts.outbox.recipe = RecipeSummary(id="7", version=2, sha256="0" * 64)
    for changing, state in ((False, "active"), (True, "changing")):
        recipe = parts.status(changing=changing).recipe
        assert recipe is not None
        assert (recipe.id, recipe.version, recipe.state) == ("7", 2, state)


def test_stats_come_once_a_period_with_the_latencies_of_that_period(parts: Parts) -> None:
    parts.reject()
    now_ns = time.monotonic_ns()
    parts.heartbeat.stats_if_due(now_ns)
    for later_ns in (61_000_000_000, 90_000_000_000, 122_000_000_000):
        parts.heartbeat.stats_if_due(now_ns + later_ns)
    first, second = (header for header in parts.published if isinstance(header, StatsHeader))
    assert (first.triggers, first.rejects, second.rejects) == (1, 1, 1)
    assert first.rejects_by_reason == second.rejects_by_reason == {"no frame": 1}
    assert first.stages
    assert not second.stages
    assert parts.outbox.latencies.summary()
