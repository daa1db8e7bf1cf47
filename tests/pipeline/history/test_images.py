"""Small pictures of frames: how often, what they show, and that nobody waits for them."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.config import ConfigError, parse_config
from pipeline.history.image_pace import ImagePace
from pipeline.history.pictures import Pictures
from pipeline.messages import ImageHeader
from pipeline.record_config import ImageConfig
from support.lines import folder_camera, make_raw_config, paint_parts, running


def test_a_picture_is_due_once_a_period_for_each_camera_and_disposition() -> None:
    pace = ImagePace(5.0, lambda: True)
    assert pace.due("cam1", "accept", 0)
    assert not pace.due("cam1", "accept", 199_999_999)
    assert pace.due("cam1", "reject", 199_999_999)
    assert pace.due("cam2", "accept", 199_999_999)
    assert pace.due("cam1", "accept", 200_000_000)


def test_no_picture_is_due_while_nobody_listens_and_the_first_one_at_once() -> None:
    heard = False
    pace = ImagePace(5.0, lambda: heard)
    assert not pace.due("cam1", "accept", 0)
    heard = True
    assert pace.due("cam1", "accept", 1)


@pytest.mark.parametrize("colours", [(), (3,)])
def test_a_picture_is_as_wide_as_configured_and_shows_the_frame(colours: tuple[int, ...]) -> None:
    pictures = Pictures(ImageConfig(max_width_px=64, quality=95))
    pixels = np.zeros((100, 128, *colours), np.uint8)
    pixels[:, 64:, ...] = (200, 40, 90)[: max(1, len(colours) * 3)] if colours else 200
    small = pictures.shrink(pixels)
    assert small.shape == (50, 64, *colours)
    read = cv2.imdecode(np.frombuffer(pictures.pack(small), np.uint8), cv2.IMREAD_UNCHANGED)
    shown = read[..., ::-1] if colours else read
    np.testing.assert_allclose(shown[25, 50], pixels[50, 100], atol=6)
    assert pictures.shrink(pixels[:10, :20]).shape[:2] == (10, 20)


def test_a_running_line_shows_its_frames_beside_the_archive(tmp_path: Path) -> None:
    raw = make_raw_config(tmp_path, [folder_camera(paint_parts(tmp_path / "parts", 40), rate_hz=40)])
    raw["image"] = {"policy": "sampled", "max_hz": 60, "max_width_px": 64}
    raw["archive"] = {"directory": str(tmp_path / "archive"), "min_free_mib": 0}
    with running(parse_config(raw, origin="test")) as line:
        line.finish()
        line.wait_for(lambda: bool(line.headers(ImageHeader)), "a picture")
    pictures = [message for message in line.messages if isinstance(message.header, ImageHeader)]
    results = {result.result_id: result for result in line.results}
    shown = set()
    for message in pictures:
        header = message.header
        assert isinstance(header, ImageHeader)
        assert (header.shape, header.image_shape) == ((64, 64), (64, 64))
        assert message.payload is not None
        pixels = cv2.imdecode(np.frombuffer(message.payload, np.uint8), cv2.IMREAD_GRAYSCALE)
        disposition = results[header.result_id].disposition
        assert (pixels[16, 12] > 180) == (disposition == "reject")
        shown.add(disposition)
    assert shown == {"accept", "reject"}
    assert len(list((tmp_path / "archive").glob("*/*.png"))) == 8
    assert line.statuses[-1].dropped == 0


def test_without_the_policy_no_picture_is_made(tmp_path: Path) -> None:
    raw = make_raw_config(tmp_path, [folder_camera(paint_parts(tmp_path / "parts", 5))])
    with running(parse_config(raw, origin="test")) as line:
        line.finish()
    assert line.headers(ImageHeader) == []


def test_a_slot_is_left_for_pictures(tmp_path: Path) -> None:
    raw = make_raw_config(tmp_path, [folder_camera(tmp_path)])
    raw["archive"] = {"directory": "archive", "queue_frames": 2}
    raw["ring"] = {"slots": 4}
    raw["image"] = {"policy": "sampled"}
    with pytest.raises(ConfigError, match="one being for images"):
        parse_config(raw, origin="test")
