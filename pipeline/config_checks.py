"""What of a configuration contradicts itself: values that are allowed each, but not together. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engines.engine import EngineError
from engines.targets import check_combination
from pipeline.camera_config import V4l2CameraConfig, VideoCameraConfig
from pipeline.dashboard_config import find_errors as find_dashboard_errors
from pipeline.gateway_config import find_errors
from pipeline.metrics_config import find_metrics_errors
from pipeline.socket_config import is_local, keys_are_missing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.camera_config import CameraConfig, TriggerConfig
    from pipeline.config import Config, EngineConfig

_ONLY_WITH = {
    "period_ms": ("software",),
    "announce_window_ms": ("line", "encoder"),
    "encoder_counts": ("encoder",),
    "max_age_ms": ("freerun",),
}


def contradictions(config: Config) -> Iterator[str]:
    """One message each, from the place in the file on."""
    yield from _in_engine(config.engine)
    names = [camera.name for camera in config.cameras]
    for name in names:
        if names.count(name) > 1:
            yield f"cameras: found the name {name!r} twice, expected unique names."
    yield from _in_sockets(config)
    for index, camera in enumerate(config.cameras):
        yield from _in_camera(camera, f"cameras[{index}]")
    yield from _in_parts(config)
    yield from _in_records(config)
    if config.gateways is not None:
        yield from find_errors(config.gateways)
    yield from find_metrics_errors(config.metrics)
    if config.dashboard is not None:
        yield from find_dashboard_errors(config.dashboard)


def _in_engine(engine: EngineConfig) -> Iterator[str]:
    try:
        check_combination(engine.runtime, engine.precision)
    except EngineError as error:
        yield str(error)
    cores = engine.cores
    if cores is not None and len(set(cores)) < max(engine.threads, len(cores)):
        yield (
            f"engine.cores: found {cores} for {engine.threads} threads, expected as many different cores at "
            "least."
        )
    if engine.spinning and engine.runtime != "onnxruntime":
        yield (
            f"engine.spinning: found true with runtime {engine.runtime!r}, expected it only with "
            "'onnxruntime'."
        )


def _in_sockets(config: Config) -> Iterator[str]:
    endpoints = [config.sockets.results, config.sockets.heatmaps, config.sockets.replay]
    for endpoint in endpoints:
        if endpoints.count(endpoint) > 1 and not endpoint.endswith(":*"):
            yield f"sockets: found {endpoint} twice, expected three different addresses."
        if config.security is None and not is_local(endpoint):
            yield f"sockets: {keys_are_missing(endpoint)}"


def _in_camera(camera: CameraConfig, where: str) -> Iterator[str]:
    trigger = camera.trigger
    yield from _in_trigger(trigger, f"{where}.trigger")
    if isinstance(camera, VideoCameraConfig):
        yield from _in_video(camera, where)
    if isinstance(camera, V4l2CameraConfig) and trigger.every_frame:
        yield (
            f"{where}.trigger.source: found {trigger.source!r} for a V4L2 camera, which has no input "
            "line. Set 'freerun' or 'software'."
        )


def _in_trigger(trigger: TriggerConfig, where: str) -> Iterator[str]:
    for key, sources in _ONLY_WITH.items():
        value = getattr(trigger, key)
        if value is not None and trigger.source not in sources:
            yield (
                f"{where}.{key}: found {value} with source {trigger.source!r}, expected it only with source "
                f"{' or '.join(repr(source) for source in sources)}."
            )
    if trigger.source == "encoder" and trigger.encoder_counts is None:
        yield f"{where}.encoder_counts: found null with source 'encoder', expected the counts between parts."


def _in_video(camera: VideoCameraConfig, where: str) -> Iterator[str]:
    """What an address or a file cannot do; the address is not shown, it may hold a password."""
    if not camera.is_stream:
        return
    if not camera.url.startswith("rtsp://"):
        scheme = camera.url.partition("://")[0]
        yield f"{where}.url: found an address {scheme}://, expected rtsp:// or a file's path."
    if camera.trigger.every_frame:
        yield (
            f"{where}.trigger.source: found {camera.trigger.source!r} for an RTSP stream, which has no input "
            "line. Set 'freerun' or 'software'."
        )
    if camera.rate_hz is not None or camera.loop:
        yield (
            f"{where}: found rate_hz or loop for an RTSP stream, expected them only for a file. Remove them."
        )


def _in_parts(config: Config) -> Iterator[str]:
    """Every camera of a common part can be told which part it is."""
    by_name = {camera.name: camera for camera in config.cameras}
    for name in config.parts.cameras if config.parts is not None else ():
        camera = by_name.get(name)
        if camera is None:
            yield f"parts.cameras: found {name!r}, expected some of: {', '.join(by_name)}."
            continue
        trigger = camera.trigger
        asked = trigger.source == "software" and trigger.period_ms is None
        if not asked and trigger.announce_window_ms is None:
            yield (
                f"parts.cameras: found camera {name!r} with trigger source {trigger.source!r}, "
                "expected 'software' without period_ms, or announce_window_ms: only so is it known whose "
                "frame it is."
            )


def _in_records(config: Config) -> Iterator[str]:
    names = [consumer.name for consumer in config.consumers]
    for name in names:
        if names.count(name) > 1:
            yield f"consumers: found the name {name!r} twice, expected unique names."
    shown = int(config.image.policy != "none")
    if config.archive is not None and config.archive.queue_frames + shown >= config.ring.slots - 1:
        yield (
            f"archive.queue_frames: found {config.archive.queue_frames} of ring.slots "
            f"{config.ring.slots}, expected at least two slots to be left for new frames"
            f"{', one being for images' if shown else ''}."
        )
