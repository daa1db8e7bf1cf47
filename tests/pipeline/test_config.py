import contextlib
import copy
import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.camera_config import SimulatedCameraConfig
from pipeline.config import ConfigError, load_config, parse_config

SHIPPED = Path(__file__).parents[2] / "config.yaml"


def shipped() -> dict[str, Any]:
    raw = yaml.safe_load(SHIPPED.read_text())
    assert isinstance(raw, dict)
    return raw


def test_the_shipped_configuration_is_valid() -> None:
    config = load_config(SHIPPED)
    assert isinstance(config.cameras[0], SimulatedCameraConfig)
    assert config.engine.model == "models/demo"


def test_sections_are_frozen() -> None:
    config = load_config(SHIPPED)
    with pytest.raises(AttributeError):
        config.station.deadline_ms = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (("station", "deadline"), 5, "station.deadline: unknown key. Allowed here: line, name, deadline_ms"),
        (("cameras", 0, "fps"), 5, "cameras[0].fps: unknown key. Allowed here: kind, name, width_px"),
        (
            ("cameras", 0, "trigger", "sorce"),
            5,
            "cameras[0].trigger.sorce: unknown key. Allowed here: source",
        ),
        (("bar",), 1, "bar: unknown key. Allowed here: station, sockets, cameras"),
        (("station", "deadline_ms"), "150 ms", "station.deadline_ms: found '150 ms'. Expected `float`"),
        (("station", "deadline_ms"), 0, "station.deadline_ms: found 0. Expected `float` >= 1.0"),
        (("station", "name"), "a b", "station.name: found 'a b'."),
        (("cameras", 0, "rate_hz"), -1, "cameras[0].rate_hz: found -1. Expected `float` > 0.0"),
        (("cameras", 0, "rate_hz"), math.nan, "cameras[0].rate_hz: found nan."),
        (("cameras", 0, "rate_hz"), math.inf, "cameras[0].rate_hz: found inf."),
        (
            ("cameras", 0, "kind"),
            "usb",
            "cameras[0].kind: found 'usb'. Allowed: simulated, folder, recording, pylon, aravis, genicam",
        ),
        (("cameras", 0, "pixel_format"), "Mono9", "cameras[0].pixel_format: found 'Mono9'. Allowed: Mono8"),
        (
            ("cameras", 0, "trigger", "source"),
            "x",
            "trigger.source: found 'x'. Allowed: encoder, freerun, line, software",
        ),
        (("engine", "cores"), [0], "engine.cores: found [0] for 2 threads"),
        (("engine", "cores"), [1, 1, 2], "engine.cores: found [1, 1, 2] for 2 threads"),
        (("engine", "cores"), [], "engine.cores"),
        (("engine", "precision"), "fp16", "engine.precision: found 'fp16' with runtime 'onnxruntime'"),
        (("engine", "runtime"), "tensorflow", "engine.runtime: found 'tensorflow'. Allowed: onnxruntime"),
        (("engine", "threads"), 0, "engine.threads: found 0. Expected `int` >= 1"),
        (("cameras",), [], "cameras: found []. Expected `array` of length >= 1"),
        (("ring", "slots"), 1, "ring.slots: found 1. Expected `int` >= 3"),
        (
            ("sockets", "results"),
            "tcp://*:5550",
            "which other machines can reach, without keys. Run: hlgfa keys make",
        ),
        (
            ("sockets", "results"),
            "tcp://0.0.0.0:5550",
            "which other machines can reach, without keys. Run: hlgfa keys make",
        ),
        (
            ("sockets", "results"),
            "tcp://127.evil.example:5550",
            "which other machines can reach, without keys. Run: hlgfa keys make",
        ),
        (("sockets", "results"), "tcp://127.0.0.1:99999", "sockets.results: found 'tcp://127.0.0.1:99999'."),
        (("sockets", "results"), "udp://127.0.0.1:1", "sockets.results: found 'udp://127.0.0.1:1'."),
        (("sockets", "heatmaps"), "tcp://127.0.0.1:5550", "twice, expected three different addresses"),
        (("cameras", 0, "trigger", "period_ms"), 100, "expected it only with source 'software'"),
        (("cameras", 0, "trigger", "max_age_ms"), 100, "expected it only with source 'freerun'"),
        (("cameras", 0, "trigger", "encoder_counts"), 9, "expected it only with source 'encoder'"),
        (("cameras", 0, "trigger", "source"), "encoder", "encoder_counts: found null with source 'encoder'"),
        (("parts",), {"cameras": ["cam1", "cam2"]}, "parts.cameras: found camera 'cam1' with trigger source"),
        (("parts",), {"cameras": ["cam9", "cam1"]}, "parts.cameras: found 'cam9', expected some of: cam1"),
        (("realtime",), {"fifo_priority": 99}, "realtime.fifo_priority: found 99"),
    ],
)
def test_a_wrong_value_is_named_with_its_place_and_what_is_allowed(
    path: tuple[str | int, ...], value: object, expected: str
) -> None:
    raw: Any = shipped()
    section = raw
    for step in path[:-1]:
        section = section[step]
    section[path[-1]] = value
    with pytest.raises(ConfigError) as caught:
        parse_config(raw, origin="config.yaml")
    assert str(caught.value).startswith("config.yaml: ")
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("path", "expected"),
    [(("engine",), "engine: missing"), (("cameras", 0, "kind"), "cameras[0].kind: missing")],
)
def test_a_missing_key_is_named(path: tuple[str | int, ...], expected: str) -> None:
    raw: Any = shipped()
    section = raw
    for step in path[:-1]:
        section = section[step]
    del section[path[-1]]
    with pytest.raises(ConfigError, match=expected.replace("[", r"\[")):
        parse_config(raw, origin="config.yaml")


def test_camera_names_are_unique() -> None:
    raw = shipped()
    raw["cameras"].append(copy.deepcopy(raw["cameras"][0]))
    with pytest.raises(ConfigError, match="'cam1' twice"):
        parse_config(raw, origin="config.yaml")


def test_no_file_and_no_yaml(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere.yaml: cannot be read"):
        load_config(tmp_path / "nowhere.yaml")
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [1")
    with pytest.raises(ConfigError, match="is not valid YAML"):
        load_config(broken)
    broken.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="is not valid YAML"):
        load_config(broken)


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(raw=junk)
def test_any_yaml_is_refused_with_a_config_error(raw: object) -> None:
    with pytest.raises(ConfigError):
        parse_config(raw, origin="config.yaml")


@given(data=st.data(), value=junk)
@settings(deadline=None)  # what is asked for is an error of the right kind, whatever the machine does
def test_any_value_anywhere_is_accepted_or_refused_with_a_config_error(
    data: st.DataObject, value: object
) -> None:
    raw: Any = shipped()
    section = raw[data.draw(st.sampled_from(sorted(raw)))]
    if isinstance(section, list):
        section = section[0]
    section[data.draw(st.sampled_from(sorted(section)))] = value
    with contextlib.suppress(ConfigError):  # whatever is not one fails this test
        parse_config(raw, origin="config.yaml")


DEVICE = {
    "name": "left",
    "width_px": 640,
    "height_px": 480,
    "pixel_format": "Mono8",
    "trigger": {"source": "line"},
}


@pytest.mark.parametrize(
    ("camera", "expected"),
    [
        ({"kind": "aravis", "address": "cam.local"}, "cameras[0].address: found 'cam.local'."),
        (
            {"kind": "aravis", "packet_resend": "maybe"},
            "packet_resend: found 'maybe'. Allowed: always, never",
        ),
        ({"kind": "aravis", "packet_size_bytes": 9}, "packet_size_bytes: found 9. Expected `int` >= 220"),
        ({"kind": "pylon", "offset_x_px": -1}, "cameras[0].offset_x_px: found -1. Expected `int` >= 0"),
        ({"kind": "pylon", "trigger_edge": "up"}, "trigger_edge: found 'up'. Allowed: falling, rising"),
        ({"kind": "genicam"}, "cameras[0].producers: missing. This key is required."),
        ({"kind": "genicam", "producers": []}, "producers: found []. Expected `array` of length >= 1"),
        ({"kind": "genicam", "producers": ["a"], "address": "1.2.3.4"}, "cameras[0].address: unknown key."),
    ],
)
def test_a_wrong_key_of_a_device_is_named(camera: dict[str, Any], expected: str) -> None:
    raw = shipped()
    raw["cameras"] = [DEVICE | camera]
    with pytest.raises(ConfigError) as error:
        parse_config(raw, origin="x.yaml")
    assert expected in str(error.value)


@pytest.mark.parametrize(
    "camera",
    [
        {"kind": "pylon", "address": "192.168.0.7", "trigger_line": "Line3", "offset_y_px": 8},
        {"kind": "aravis", "serial": "22943512", "packet_size_bytes": 8000, "packet_resend": "never"},
        {"kind": "genicam", "producers": ["a.cti"], "device_pixel_format": "Mono12p"},
    ],
)
def test_a_device_is_described(camera: dict[str, Any]) -> None:
    raw = shipped()
    raw["cameras"] = [DEVICE | camera]
    parsed = parse_config(raw, origin="x.yaml").cameras[0]
    assert {key: getattr(parsed, key) for key in camera if key != "kind"} == {
        key: value for key, value in camera.items() if key != "kind"
    }
