"""What stands out among images of good parts, and what does not."""

from __future__ import annotations

import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from calibration.looks import duplicates, flag, look_at
from support.parts import good_part

COUNT = 16
PARTS = [good_part(seed) for seed in range(COUNT)]
LOOKS = [look_at(part) for part in PARTS]


def kinds_with(index: int, image: NDArray[np.uint8]) -> dict[int, list[str]]:
    """Kinds of flags by index, of the parts with one image in place of one of them."""
    looks = [*LOOKS]
    looks[index] = look_at(image)
    return {i: [one.kind for one in found] for i, found in enumerate(flag(looks)) if found}


def test_good_parts_do_not_stand_out() -> None:
    assert flag(LOOKS) == [[] for _ in PARTS]


def test_no_images_have_no_flags() -> None:
    assert flag([]) == []
    assert flag(LOOKS[:1]) == [[]]


@given(index=st.integers(1, COUNT - 1), other=st.integers(0, COUNT - 1), noise=st.floats(0, 0.3))
@settings(max_examples=30, deadline=None)
def test_a_part_shown_twice_is_flagged_the_second_time(index: int, other: int, noise: float) -> None:
    again = PARTS[other] + np.random.default_rng(index).normal(0, noise, PARTS[other].shape)
    found = kinds_with(index, np.clip(np.rint(again), 0, 255).astype(np.uint8))
    assert found == ({} if other == index else {max(index, other): ["duplicate"]})


def test_of_many_pictures_of_one_part_the_first_teaches() -> None:
    looks = [LOOKS[0], *[LOOKS[1]] * 5, LOOKS[2]]
    assert duplicates(looks) == dict.fromkeys(range(2, 6), 1)
    assert [one.text for found in flag(looks) for one in found] == ["same as 2"] * 4


@given(index=st.integers(0, COUNT - 1), sigma=st.floats(2, 6))
@settings(max_examples=20, deadline=None)
def test_a_blurred_part_is_flagged(index: int, sigma: float) -> None:
    found = kinds_with(index, np.asarray(cv2.GaussianBlur(PARTS[index], (0, 0), sigma)))
    assert found == {index: ["blur"]}


@given(index=st.integers(0, COUNT - 1), levels=st.sampled_from([-50, -30, 30, 50]))
@settings(max_examples=20, deadline=None)
def test_a_part_in_other_light_is_flagged_whatever_the_direction(index: int, levels: int) -> None:
    image = np.clip(PARTS[index].astype(np.int16) + levels, 0, 255).astype(np.uint8)
    [(found, kinds)] = kinds_with(index, image).items()
    assert (found, kinds) == (index, ["exposure"])


def test_a_part_with_a_glare_is_flagged_by_its_white_pixels() -> None:
    image = PARTS[3].copy()
    image[:24, :24] = 255
    looks = [*LOOKS[:3], look_at(image), *LOOKS[4:]]
    assert [one.text for one in flag(looks)[3]] == ["6% black or white"]


@given(order=st.permutations(range(COUNT)), at=st.integers(0, COUNT - 1))
@settings(max_examples=20, deadline=None)
def test_order_changes_nothing_about_a_bad_image(order: list[int], at: int) -> None:
    looks = [*LOOKS]
    looks[at] = look_at(np.asarray(cv2.GaussianBlur(PARTS[at], (0, 0), 4)))
    found = flag([looks[i] for i in order])
    assert [i for i, flags in zip(order, found, strict=True) if flags] == [at]


def test_colour_is_looked_at_as_its_grey() -> None:
    colour = np.repeat(PARTS[0][..., None], 3, axis=2)
    assert look_at(colour).sharpness == look_at(PARTS[0]).sharpness
    assert look_at(colour).digest != look_at(PARTS[0]).digest
