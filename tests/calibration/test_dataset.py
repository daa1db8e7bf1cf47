from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from calibration import dataset
from calibration.dataset import DatasetError, ImageFiles, split_parts
from support.parts import write_parts


@settings(deadline=None)
@given(count=st.integers(10, 400), seed=st.integers(0, 99))
def test_a_split_deals_every_part_once_and_the_same_way(count: int, seed: int) -> None:
    split = split_parts(count, seed=seed)
    assert sorted([*split.fit, *split.hold_out]) == list(range(count))
    assert min(map(len, (split.fit, split.hold_out))) >= 2
    assert split_parts(count, seed=seed) == split


def test_a_split_can_hold_out_none() -> None:
    split = split_parts(12, seed=3, hold_out=0)
    assert (split.fit, split.hold_out) == (list(range(12)), [])


def test_too_few_parts_are_refused() -> None:
    with pytest.raises(DatasetError, match="found 9 good parts, expected at least 10"):
        split_parts(9, seed=0)


def test_both_layouts_give_the_good_parts(tmp_path: Path) -> None:
    root = write_parts(tmp_path / "set", train=3, good=2, bad=1)
    expected = [f"{i:03}.png" for i in range(3)]
    assert [p.name for p in dataset.good_parts(root)] == expected
    assert [p.name for p in dataset.good_parts(root / "train" / "good")] == expected


def test_test_parts_have_kinds_and_masks(tmp_path: Path) -> None:
    parts = dataset.labelled_parts(write_parts(tmp_path / "set", train=1, good=2, bad=1))
    assert [(p.kind, p.mask is not None) for p in parts] == [("good", False)] * 2 + [("scratch", True)]


def test_a_layout_without_good_parts_is_refused(tmp_path: Path) -> None:
    (tmp_path / "test" / "good").mkdir(parents=True)
    with pytest.raises(DatasetError, match="no train/good"):
        dataset.good_parts(tmp_path)


def test_a_test_set_needs_good_and_bad(tmp_path: Path) -> None:
    root = write_parts(tmp_path / "set", train=1, good=2, bad=0)
    with pytest.raises(DatasetError, match="expected good and one defect at least"):
        dataset.labelled_parts(root)


@pytest.mark.parametrize("make", ["missing", "empty"])
def test_a_folder_without_images_is_named(tmp_path: Path, make: str) -> None:
    folder = tmp_path / "parts"
    if make == "empty":
        folder.mkdir()
    with pytest.raises(DatasetError, match=r"parts: (no such folder|holds no image)"):
        dataset.image_paths(folder)


def test_the_wrong_channel_count_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    Image.new("RGB", (20, 12)).save(path)
    with pytest.raises(DatasetError, match=r"found 3 channel\(s\), expected 1"):
        dataset.read_image(path, 1)


def test_the_wrong_size_is_refused_or_scaled(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    Image.fromarray(np.arange(240, dtype=np.uint8).reshape(12, 20)).save(path)
    with pytest.raises(DatasetError, match="found 12x20 pixels, expected 6x10"):
        ImageFiles([path], size_px=(6, 10), channels=1)[0]
    scaled = ImageFiles([path], size_px=(6, 10), channels=1, resample=True)[0]
    assert scaled.shape == (6, 10)
    assert scaled[0, 0] in (10, 11)  # the mean of 0, 1, 20, 21


@pytest.mark.parametrize(("mode", "value"), [("L", 255), ("1", 1), ("L", 1), ("RGB", (255, 255, 255))])
def test_a_mask_of_any_kind_is_read(tmp_path: Path, mode: str, value: object) -> None:
    image = Image.new(mode, (6, 4))
    image.putpixel((2, 1), value)  # type: ignore[arg-type]
    image.save(tmp_path / "m.png")
    mask = dataset.read_mask(tmp_path / "m.png")
    assert mask.sum() == 1
    assert mask[1, 2]


def test_the_data_hash_sees_names_and_contents(tmp_path: Path) -> None:
    hashes = {
        dataset.data_hash(names, contents)
        for names, contents in [(["a", "b"], ["1", "2"]), (["a", "b"], ["2", "1"]), (["a", "c"], ["1", "2"])]
    }
    assert len(hashes) == 3


def test_scaling_up_is_linear() -> None:
    image = np.random.default_rng(0).integers(0, 256, (10, 12), np.uint8)
    expected = cv2.resize(image, (24, 20), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(dataset.resized(image, (20, 24)), expected)
