"""Freshness of the station, and what an old result is worth."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.client import Message
from pipeline.gateways.station_view import StationView, as_of_now, shown
from pipeline.messages import CameraStatus, PartHeader, Reason, ResultHeader, StatusHeader
from support.messages import example

MS = 1_000_000
DEADLINE_NS = 150 * MS


def accepted(**changes: Any) -> ResultHeader:
    header = example("result")
    times = msgspec.structs.replace(header.t, decided="40000000")
    usual = {"disposition": "accept", "verdict": "pass", "reason_code": 0, "on_time": True, "t": times}
    made = msgspec.structs.replace(
        header, **{**usual, "deadline_ns": "150000000", "published_ns": str(1_000 * MS), **changes}
    )
    assert isinstance(made, ResultHeader)
    return made


def accepted_part() -> PartHeader:
    made = msgspec.structs.replace(
        example("part"), disposition="accept", reason_code=0, on_time=True, published_ns=str(1_000 * MS)
    )
    assert isinstance(made, PartHeader)
    return made


@given(age_ms=st.integers(-10_000, 10_000), expired=st.booleans())
def test_only_what_is_in_time_stays_an_accept(age_ms: int, expired: bool) -> None:
    now_utc_ns = (1_000 + age_ms) * MS
    for header, limit_ms in ((accepted(), 110), (accepted_part(), 150)):
        message = Message(header=header, expired=expired)
        found = as_of_now(message, now_utc_ns=now_utc_ns, deadline_ns=DEADLINE_NS)
        assert isinstance(found.header, ResultHeader | PartHeader)
        in_time = not expired and -500 <= age_ms <= limit_ms
        assert (found.header.disposition == "accept") == shown(found.header).accept == in_time
        assert found.expired != in_time
        assert found.header.reason_code == (0 if in_time else Reason.LATE)


def test_a_reject_keeps_its_reason() -> None:
    header = accepted(disposition="reject", verdict="fail", reason_code=1)
    found = as_of_now(Message(header=header, expired=True), now_utc_ns=0, deadline_ns=DEADLINE_NS)
    assert found.header == header


def test_an_accept_that_was_not_on_time_is_none() -> None:
    assert not shown(accepted(on_time=False)).accept


@pytest.mark.parametrize(("age_ms", "fresh_for_ms"), [(0, 600), (100, 500), (-50, 600)])
def test_three_missing_statuses_are_silence(age_ms: int, fresh_for_ms: int) -> None:
    station = StationView()
    assert not station.fresh(0)
    assert station.faulty(0)
    camera = CameraStatus(name="cam1", state="ready", triggers=0, accepts=0, rejects=0, frames_skipped=0)
    status = msgspec.structs.replace(
        example("status"), period_ms=200, fault=None, ready=True, cameras=[camera]
    )
    assert isinstance(status, StatusHeader)
    station.take(status, now_ns=1_000 * MS, age_ns=age_ms * MS)
    names = [camera.name for camera in status.cameras]
    end_ns = (1_000 + fresh_for_ms) * MS
    assert station.fresh(end_ns)
    assert station.ready(names, end_ns)
    assert not station.ready([*names, "another"], end_ns)
    assert not station.fresh(end_ns + 1)
    assert not station.ready(names, end_ns + 1)
