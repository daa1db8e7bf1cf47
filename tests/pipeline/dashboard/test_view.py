"""What is shown, and when it is not that of now any more: view, rates, mailbox, pictures."""

import asyncio

import msgspec

from pipeline.dashboard.mailbox import Mailbox
from pipeline.dashboard.pictures import Heatmap, Joiner, Rejects
from pipeline.dashboard.rate import Rate
from pipeline.dashboard.view import SHOWN_MS, View, result_view
from pipeline.messages import Reason
from support.messages import example
from support.results import make_result

SECOND_NS = 1_000_000_000


def make_view() -> View:
    return View(line="press-3", station="outfeed", cameras=["cam1"], deadline_ms=100)


def test_a_verdict_is_of_now_only_while_it_is_young_and_the_station_is_heard() -> None:
    view = make_view()
    view.take_status(example("status"), 0)
    result = result_view(make_result(7, reason=Reason.ANOMALY))
    view.take_result(result, 0)
    young, old = result.published_ms + SHOWN_MS, result.published_ms + SHOWN_MS + 1
    for fresh, now_ms, expired in ((True, young, False), (True, old, True), (False, young, True)):
        shown = view.state(fresh=fresh, now_ns=0, now_utc_ms=now_ms).cameras[0].result
        assert shown is not None
        assert shown.expired == expired
    assert not view.state(fresh=False, now_ns=0, now_utc_ms=young).ready


def test_before_the_first_status_nothing_is_fresh() -> None:
    state = make_view().state(fresh=True, now_ns=0, now_utc_ms=0)
    assert (state.fresh, state.ready, state.age_ms) == (False, False, None)
    assert [camera.state for camera in state.cameras] == ["not heard"]


def test_reasons_go_on_from_the_last_stats_and_begin_again_with_the_station() -> None:
    view = make_view()
    view.take_status(example("status"), 0)
    view.take_stats(msgspec.structs.replace(example("stats"), rejects_by_reason={"anomaly": 3}))
    view.take_result(result_view(make_result(1, reason=Reason.ANOMALY)), 0)
    assert view.state(fresh=True, now_ns=0, now_utc_ms=0).reasons == {"anomaly": 4}
    view.take_status(msgspec.structs.replace(example("status"), epoch="another"), 0)
    assert view.state(fresh=True, now_ns=0, now_utc_ms=0).reasons == {}


def test_a_rate_is_of_the_last_five_minutes() -> None:
    rate = Rate()
    for second in range(600):
        rate.count("cam1", second * SECOND_NS)
        rate.count("cam1", second * SECOND_NS + 1)
    assert abs(rate.per_hour("cam1", 599 * SECOND_NS) - 7200) < 50
    assert rate.per_hour("cam1", 1200 * SECOND_NS) == 0
    assert rate.per_hour("cam2", 0) == 0


def test_a_slow_browser_gets_the_newest_state_and_what_it_lost_is_counted() -> None:
    async def fill() -> tuple[list[str | bytes], int]:
        mailbox = Mailbox(limit=2)
        for number in range(4):
            mailbox.put(f"event {number}")
            mailbox.replace("state", f"state {number}")
        return [await mailbox.next() for _ in range(3)], mailbox.dropped

    assert asyncio.run(fill()) == (["event 2", "event 3", "state 3"], 5)


def test_a_picture_is_whole_once_result_and_image_have_come_in_either_order() -> None:
    result = result_view(make_result(7, reason=Reason.ANOMALY))
    image = msgspec.structs.replace(example("image"), result_id=result.result_id)
    heatmap = Heatmap(msgspec.structs.replace(example("heatmap"), result_id=result.result_id), b"map")
    for result_first in (True, False):
        joiner = Joiner()
        joiner.take_heatmap(heatmap)
        first = joiner.take_result(result) if result_first else joiner.take_image(image, b"jpeg")
        second = joiner.take_image(image, b"jpeg") if result_first else joiner.take_result(result)
        assert first is None
        assert second is not None
        assert (second.jpeg, second.heatmap) == (b"jpeg", heatmap)


def test_only_the_last_rejects_are_kept_with_their_pictures() -> None:
    rejects, joiner = Rejects(kept=2), Joiner()
    results = [result_view(make_result(number, reason=Reason.ANOMALY)) for number in (1, 2, 3)]
    for result in results:
        rejects.add(result)
        joiner.take_result(result)
        image = msgspec.structs.replace(example("image"), result_id=result.result_id)
        picture = joiner.take_image(image, b"jpeg")
        assert picture is not None
        assert rejects.add_picture(picture)
    assert [result.result_id for result, _ in rejects.all()] == [result.result_id for result in results[1:]]
    assert rejects.picture(results[0].result_id) is None
    assert rejects.picture(results[2].result_id) is not None
