"""Recordings, configurations and device descriptions that came from elsewhere."""

import io
import zipfile

import msgspec
import pytest
import zstandard
from mcap.records import Chunk

from pipeline import internal
from pipeline.cameras.camera import CameraError
from pipeline.cameras.genicam_device import MAX_DESCRIPTION_BYTES, _description
from pipeline.config import ConfigError, load_config
from pipeline.recording import RecordingError
from pipeline.recording_chunk import MAX_CHUNK_BYTES, unpacked
from pipeline.yaml_text import YamlError, read_yaml


def chunk(data, compression, size):
    return Chunk(
        compression=compression,
        data=data,
        message_end_time=0,
        message_start_time=0,
        uncompressed_crc=0,
        uncompressed_size=size,
    )


def test_a_chunk_is_never_unpacked_beyond_what_it_says():
    import lz4.frame

    bomb = bytes(50_000_000)
    zstd = zstandard.ZstdCompressor().compress(bomb)
    for packed, compression in ((zstd, "zstd"), (lz4.frame.compress(bomb), "lz4"), (bomb, "")):
        with pytest.raises(RecordingError, match=r"found a (chunk|zstd frame) of \d+ bytes, expected 100"):
            unpacked(chunk(packed, compression, 100))
    with pytest.raises(RecordingError, match="expected at most"):
        unpacked(chunk(zstd, "zstd", MAX_CHUNK_BYTES + 1))


@pytest.mark.parametrize(
    "text",
    [
        "a: 2001-99-99",
        "!!int ''",
        "!!timestamp x",
        "!!bool x",
        "!!python/object/apply:os.system [id]",
        "0: 0x_",
    ],
)
def test_yaml_has_one_error(text):
    with pytest.raises(YamlError):
        read_yaml(text.encode())


def test_a_small_file_of_endless_aliases_gives_a_short_error(tmp_path):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    path = tmp_path / "config.yaml"
    path.write_text("\n".join([*lines, "station: *a11", "sockets: *a11", "cameras: *a11", "engine: *a11"]))
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert len(str(caught.value)) < 2_000


def test_a_number_too_long_to_be_written_is_a_config_error(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(f"station: 0x{'f' * 20_000}\nsockets: 1\ncameras: 1\nengine: 1\n")
    with pytest.raises(ConfigError, match="station: found"):
        load_config(path)


@pytest.mark.parametrize("data", [b"\x81\xa4type\xa2\xff\xff", b"", b"\xc1", msgspec.msgpack.encode([1] * 3)])
def test_what_a_child_cannot_mean_is_a_protocol_error(data):
    with pytest.raises(internal.ProtocolError):
        internal.decode_from_capture(data)


class Port:
    """A device that carries this description."""

    def __init__(self, data):
        self.data = data
        self.url = f"local:x.zip;0;{len(data):x}"
        self.url_info_list = [self]

    def read(self, address, size):
        return address, self.data[:size]


def test_a_devices_description_does_not_unpack_without_end():
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.xml", bytes(MAX_DESCRIPTION_BYTES + 1))
    with pytest.raises(CameraError, match="found a description of the device above"):
        _description(Port(packed.getvalue()))
