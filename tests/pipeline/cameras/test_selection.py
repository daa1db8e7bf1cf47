from __future__ import annotations

import pytest

from pipeline.cameras.camera import CameraError, FoundCamera
from pipeline.cameras.selection import select


def _camera(serial: str, user_id: str = "", address: str = "", note: str = "") -> FoundCamera:
    fields = {"serial": serial, "user_id": user_id, "address": address, "note": note}
    return FoundCamera(kind="aravis", vendor="V", model="M1", **fields)


FOUND = [
    _camera("1", "left", "10.0.0.1"),
    _camera("2", "left", "10.0.0.2", "in use"),
    _camera("3", "right", "10.0.0.3"),
]


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        ({"serial": "2"}, 1),
        ({"user_id": "right"}, 2),
        ({"address": "10.0.0.1"}, 0),
        ({"serial": "1", "user_id": "left"}, 0),
        ({"serial": "3", "user_id": None}, 2),
    ],
)
def test_the_one_that_fits_is_taken(wanted: dict[str, str | None], index: int) -> None:
    assert select("Camera x", wanted, FOUND) == index


def test_alone_it_needs_no_name() -> None:
    assert select("Camera x", {"serial": None}, FOUND[:1]) == 0


@pytest.mark.parametrize(
    ("wanted", "found", "words"),
    [
        ({"user_id": "left"}, FOUND, "expected exactly one with user_id 'left'"),
        (
            {"serial": "1", "user_id": "right"},
            FOUND,
            "expected exactly one with serial '1' and user_id 'right'",
        ),
        ({"serial": "9", "address": None}, FOUND, "set `serial` or `address` to one that was found"),
        (
            {"serial": None},
            FOUND,
            "M1 (serial '2', user_id 'left', address '10.0.0.2') in use, M1 (serial '3'",
        ),
        ({"serial": None}, [], "Camera x: found no camera; expected exactly one. "),
    ],
)
def test_none_or_two_are_refused_with_what_was_found(
    wanted: dict[str, str | None], found: list[FoundCamera], words: str
) -> None:
    with pytest.raises(CameraError) as caught:
        select("Camera x", wanted, found)
    assert words in str(caught.value)
