"""Every decoder that takes bytes from outside: what it may raise, and bytes to begin with.

Used by tests/fuzz: by hypothesis in every run of the tests, by atheris (`make fuzz`) at length.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from calibration import marks
from calibration.calibrated import load_calibrated
from calibration.frame_measures import FrameMeasures
from calibration.marks import read_marks
from calibration.record import Calibration, CalibrationError
from calibration.roi import read_roi
from engines.certificate import Certificate, load_certificate
from engines.compare import Comparison, ScoreLimit
from engines.engine import EngineError, EngineInfo
from engines.manifest import load_manifest
from engines.sidecar import load_sidecar
from engines.verification import VerificationSet
from pipeline import internal, requests
from pipeline.access.gatekeeper import DOMAIN, VERSION, answer
from pipeline.access.keys import parse_key_file
from pipeline.access.limits import SubscriptionLimits
from pipeline.config import ConfigError, StationConfig, load_config
from pipeline.drift_store import DriftRecord, Held, load_drift
from pipeline.heatmaps import pack_heatmap, unpack_heatmap
from pipeline.history.archive_entry import ArchiveError, Entry
from pipeline.history.archive_files import Archive
from pipeline.history.cursors import CursorError, Cursors
from pipeline.history.file_index import FileIndex
from pipeline.history.journal_audit import audit_starts
from pipeline.history.journal_files import (
    END,
    HEAD,
    End,
    Head,
    JournalError,
    file_name,
    head_of,
    make_line,
    read_journal,
)
from pipeline.messages import HeatmapHeader
from pipeline.recipes import active_record
from pipeline.recipes.active_record import ActiveRecord, load_active
from pipeline.recipes.recipe import RecipeError, read_recipe
from pipeline.record_config import ArchiveConfig, ConsumerConfig
from pipeline.recording import Compression, RecordingError, create_recording
from pipeline.recording_reader import Recording
from pipeline.wire import MessageError, decode, encode, topic_of
from pipeline.yaml_text import YamlError, read_yaml
from support.messages import EXAMPLES, example
from support.recordings import INFO, make_camera_info, make_frame

ROOT = EXAMPLES.parents[2]
SMALL_CONFIG = b"""\
station: {line: l, name: s, deadline_ms: 100, journal_dir: j}
sockets: {results: "tcp://127.0.0.1:*", heatmaps: "ipc://h", replay: "ipc://r"}
cameras:
  - {kind: simulated, name: c, width_px: 64, height_px: 64, pixel_format: Mono8, trigger: {source: line}}
engine: {model: m, runtime: openvino}
"""
"""config.yaml itself is mostly comments: fewer inputs a second, and fewer of them change a value."""
RECIPE = b"id: 7\nversion: 1\ntitle: t\nmodel: m\ncameras: {c: {exposure_us: 100}}\ndeadline_ms: 90\n"
SPLIT = b"\n---\n"
"""Between the frames of a message."""
KEY = b'metadata\ncurve\n    public-key = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"\n'


ACTIVE = ActiveRecord(id=7, version=1, sha256="0" * 64, operator="o", changed_utc="u", known={"7/1": "0"})
MARK = (
    b'{"schema":"hlgfa.mark/1.0","result_id":"e-1","mark":"really_bad","who":"w","marked_ns":"1","camera":"c",'
    b'"entry":"d/e","score":4.5,"threshold":3.5,"model_sha256":null}\n'
)


def _station_in(folder: Path) -> StationConfig:
    return StationConfig(line="l", name="s", deadline_ms=100, journal_dir=str(folder))


class Decoder(NamedTuple):
    """`decode` must return, or raise one of `errors`, for any bytes."""

    decode: Callable[[bytes], object]
    errors: tuple[type[Exception], ...]
    seeds: Sequence[bytes]


def _message(data: bytes) -> object:
    topic, *frames = data.split(SPLIT)
    return decode(topic, frames)


def _heatmap(data: bytes) -> object:
    head, _, payload = data.partition(SPLIT)
    try:
        header = msgspec.json.decode(head, type=HeatmapHeader)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise MessageError(str(error)) from error
    return unpack_heatmap(header, payload)


def _heatmap_seeds() -> list[bytes]:
    quantised = np.arange(48, dtype=np.uint8).reshape(6, 8)
    seeds = []
    for codec in ("none", "zstd"):
        payload, raw_bytes, crc32 = pack_heatmap(quantised, codec)
        header = msgspec.structs.replace(
            example("heatmap"), shape=(6, 8), dtype="u8", codec=codec, raw_bytes=raw_bytes, crc32=crc32
        )
        seeds.append(encode(header) + SPLIT + payload)
    return seeds


_FOLDER = Path(tempfile.mkdtemp(prefix="hlgfa-fuzz-"))
atexit.register(shutil.rmtree, _FOLDER, ignore_errors=True)


def on_file(name: str, read: Callable[[Path], object]) -> Callable[[bytes], object]:
    """Decodes bytes as the only file of a folder in memory."""
    folder = _FOLDER / f"{name}.d"
    folder.mkdir()
    path = folder / name

    def run(data: bytes) -> object:
        path.write_bytes(data)
        return read(path)

    return run


def _record(kind: type[msgspec.Struct]) -> list[bytes]:
    """Bytes of a file of the demo model, where it has one."""
    return [(ROOT / "models" / "demo" / "calibration.json").read_bytes()] if kind is Calibration else []


def _internal(data: bytes) -> object:
    for decoder in (
        internal.decode_from_capture,
        internal.decode_from_inspection,
        internal.decode_from_historian,
        internal.decode_to_historian,
    ):
        try:
            return decoder(data)
        except internal.ProtocolError:
            continue
    return internal.decode_to_capture(data)


def _internal_seeds() -> list[bytes]:
    messages = [
        internal.Heartbeat(frames_skipped=3),
        internal.NoFrame(ordinal=7),
        internal.StartFailed(text="no camera"),
        internal.Inspected(
            ordinal=1,
            slot=2,
            score=0.5,
            regions=[],
            infer_start_ns=1,
            infer_end_ns=2,
            heatmap=internal.PackedHeatmap(shape=(2, 2), raw_bytes=4, crc32=1),
            measures=FrameMeasures(brightness=90.0, sharpness=0.1, x_px=3.0, y_px=4.0),
        ),
        internal.Answer(ticket=1, last=True),
        internal.Floor(oldest_seq={"result/cam1": 7}),
        internal.Ask(ticket=1, request=REQUESTS[2], published=9),
    ]
    return [internal.encode(message) for message in messages]


def _journal(path: Path) -> object:
    """Every way in which a journal is read: by the audit, and by the historian."""
    index = FileIndex(path)
    index.refresh()
    index.close()
    head_of(path)
    list(audit_starts(path))
    return list(read_journal(path))


def _journal_lines() -> list[bytes]:
    head = Head(
        epoch="e", start=1, part=1, line="l", station="s", opened_ns=1, last_seq={}, highest=0, missing=[]
    )
    return [
        make_line(HEAD, 1, msgspec.json.encode(head)),
        make_line("result/cam1", 1, encode(example("result"))),
        make_line(END, 1, msgspec.json.encode(End(triggers=1, ended_ns=2))),
    ]


def _with_checksum(path: Path) -> Path:
    """No fuzzer guesses a checksum, so the line gets the right one."""
    rest = path.read_bytes()
    path.write_bytes(b"%08x %s\n" % (zlib.crc32(rest), rest))
    return path


def _read_calibration(path: Path) -> object:
    return load_calibrated(path.parent, model_sha256="0" * 64, size_px=(64, 64), map_shape=(16, 16))


def _roi_seed() -> bytes:
    return (
        b'{"schema":"hlgfa.roi/1.0","height_px":64,"width_px":64,"include":[[[0,0],[32,0],[32,32]]],'
        b'"exclude":[[[1,1],[9,1],[9,9]]],"ignore_mask":"x.png"}'
    )


SIDECAR = (
    b'{"schema":"hlgfa.engine/1.0","model_id":"m","model_sha256":"' + b"0" * 64 + b'","target":"openvino",'
    b'"precision":"int8","runtime_version":"1","gpu":null,"compute_capabilities":[],"batch":1,'
    b'"files":[{"name":"engine.xml","size_bytes":1,"sha256":"0"}],"tensors":[],"layers":1,"flags":{},'
    b'"islands":[],"quantised":[],"created_utc":"2026"}'
)


def _certificate() -> bytes:
    counts = dict.fromkeys(("images", "verdict_flips", "undecided", "non_finite"), 0)
    errors = dict.fromkeys(
        ("score_error_max", "score_error_mean", "relative_error_max", "map_error_max", "map_error_mean"), 0.0
    )
    sizes = dict.fromkeys(("height_px", "width_px", "channels", "map_height", "map_width"), 1)
    names = ("model_id", "model_sha256", "runtime", "runtime_version", "precision", "device")
    return msgspec.json.encode(
        Certificate(
            status="verified",
            proven="",
            engine=EngineInfo(**dict.fromkeys(names, "x"), **sizes),
            reference="",
            parts="",
            comparison=Comparison(threshold=1.0, **counts, **errors),
            limit=ScoreLimit(0.01),
            roi_sha256=None,
            created_utc="",
        )
    )


def _questions(data: bytes) -> object:
    decided = answer(data.split(SPLIT), {b"k" * 32: "plc1"})
    assert (decided.refused is None) == (decided.frames[2] == b"200")
    return decided


def _subscriptions(data: bytes) -> object:
    limits = SubscriptionLimits()
    for number, frame in enumerate(data.split(SPLIT)):
        limits.note(number % 3, frame, number)
    return limits.total


def _entry() -> Entry:
    return Entry(result=example("result"), heatmap=example("heatmap"))


def _archived(data: bytes) -> object:
    """The JSON of an entry whose heatmap is asked for."""
    folder = _FOLDER / "archive"
    stem = folder / "20260301" / "060000000000+cam1+e-1"
    stem.parent.mkdir(parents=True, exist_ok=True)
    stem.with_suffix(".json").write_bytes(data)
    stem.with_suffix(".heatmap").write_bytes(b"")
    return Archive(ArchiveConfig(directory=str(folder))).find_heatmap("e-1")


def _recording(path: Path) -> object:
    with Recording(path) as recording:
        for ref in recording.frames[:4]:
            try:
                recording.read(ref)
            except RecordingError:
                continue
        return recording.torn


def _messages() -> list[bytes]:
    kinds = ("result", "part", "amend", "status", "event", "stats")
    return [topic_of(example(kind)) + SPLIT + encode(example(kind)) for kind in kinds]


REQUESTS = [
    b'{"op":"hello","request_id":"a"}',
    b'{"op":"trigger","trigger_id":7,"part_id":"P","job_id":"J","camera":"cam1"}',
    b'{"op":"replay","epoch":"e","stream":"status","from":1,"to":9}',
    b'{"op":"ack","consumer":"c","stream":"status","seq":1}',
    b'{"op":"heatmap","result_id":"r"}',
    b'{"op":"backlog","consumer":"c"}',
]
REPLIES = [
    b'{"op":"error","error":"malformed","text":"t","schema":"hlgfa.reply/1.0"}',
    b'{"op":"trigger","trigger_id":7,"taken":true}',
    b'{"op":"hello","epoch":"e","line":"l","station":"s","clock":"ntp","operations":[],"last_seq":{"status":1}}',
    b'{"op":"end","epoch":"e","stream":"result/cam1","last":4,"gone":[3,4],"next":5,"following":null}',
    b'{"op":"backlog","consumer":"c","epoch":"e","kinds":["result"],"streams":[]}',
]

DECODERS: dict[str, Decoder] = {
    "message": Decoder(_message, (MessageError,), _messages()),
    "request": Decoder(requests.decode_request, (MessageError,), REQUESTS),
    "reply": Decoder(requests.decode_reply, (MessageError,), REPLIES),
    "heatmap": Decoder(_heatmap, (MessageError,), _heatmap_seeds()),
    "internal": Decoder(_internal, (internal.ProtocolError,), _internal_seeds()),
    "zap": Decoder(
        _questions, (), [SPLIT.join([VERSION, b"1", DOMAIN, b"10.0.0.5", b"", b"CURVE", b"k" * 32])]
    ),
    "subscriptions": Decoder(_subscriptions, (), [SPLIT.join([b"\x01hlgfa/1/", b"\x00hlgfa/1/", b"\x02x"])]),
    "key": Decoder(lambda data: parse_key_file(data, where="key"), (ConfigError,), [KEY]),
    "yaml": Decoder(read_yaml, (YamlError,), [b"a: &x [1, 2001-01-01, 0x1F]\nb: *x\n", b"!!int 7\n"]),
    "config": Decoder(on_file("config.yaml", load_config), (ConfigError,), [SMALL_CONFIG]),
    "recipe": Decoder(on_file("recipe.yaml", read_recipe), (RecipeError,), [RECIPE]),
    "active-recipe": Decoder(
        on_file(active_record.FILE_NAME, lambda path: load_active(path.parent)),
        (RecipeError,),
        [msgspec.json.encode(ACTIVE)],
    ),
    "marks": Decoder(on_file(marks.FILE_NAME, read_marks), (CalibrationError,), [MARK]),
    "drift-record": Decoder(
        on_file("drift-c.json", lambda path: load_drift(_station_in(path.parent), "c")),
        (ConfigError,),
        [msgspec.json.encode(DriftRecord(camera="c", held=Held(since_utc="u", chart="x_px", text="t")))],
    ),
    "journal": Decoder(on_file(file_name(1, 1, "e"), _journal), (JournalError,), _journal_lines()),
    "journal-record": Decoder(
        on_file(file_name(1, 1, "r"), lambda path: _journal(_with_checksum(path))),
        (JournalError,),
        [line[9:-1] for line in _journal_lines()],
    ),
    "cursor": Decoder(
        on_file("mes.cursor", lambda path: Cursors(path.parent, [ConsumerConfig(name="mes")])),
        (CursorError,),
        [b'{"schema":"hlgfa.cursor/1.0","streams":{"result/cam1":[1,7]}}'],
    ),
    "archive": Decoder(_archived, (ArchiveError,), [msgspec.json.encode(_entry())]),
    "calibration": Decoder(
        on_file("calibration.json", _read_calibration), (CalibrationError,), _record(Calibration)
    ),
    "roi": Decoder(
        on_file("roi.json", lambda path: read_roi(path, (64, 64))), (CalibrationError,), [_roi_seed()]
    ),
    "manifest": Decoder(
        on_file("model.json", lambda path: load_manifest(path.parent)),
        (EngineError,),
        [(ROOT / "models" / "demo" / "model.json").read_bytes()],
    ),
    "sidecar": Decoder(
        on_file(
            "engine.json",
            lambda path: load_sidecar(
                path.parent,
                target="openvino",
                precision="int8",
                model_sha256="0" * 64,
                folder=path.parent,
            ),
        ),
        (EngineError,),
        [SIDECAR],
    ),
    "certificate": Decoder(
        on_file("certificate.json", lambda path: load_certificate(path.parent)),
        (EngineError,),
        [_certificate()],
    ),
    "verification": Decoder(on_file("verification.npz", VerificationSet.load), (EngineError,), []),
    "recording": Decoder(on_file("r.mcap", _recording), (RecordingError,), []),
}


def _more_seeds() -> None:
    """Those that only a writer can make."""
    path = _FOLDER / "seed.npz"
    ones = np.ones((2, 4, 4), np.float32)
    VerificationSet(ones.astype(np.uint8), ones, ones[:, 0, 0]).save(path)
    DECODERS["verification"] = DECODERS["verification"]._replace(seeds=[path.read_bytes()])
    recordings = []
    compressions: list[Compression] = ["zstd", "lz4", "none"]
    for compression in compressions:
        path = _FOLDER / f"seed-{compression}.mcap"
        with create_recording(path, INFO, [make_camera_info()], compression=compression) as writer:
            writer.write(make_frame(0), 0)
            writer.write(make_frame(1), 1)
        recordings.append(path.read_bytes())
    DECODERS["recording"] = DECODERS["recording"]._replace(seeds=recordings)


_more_seeds()
