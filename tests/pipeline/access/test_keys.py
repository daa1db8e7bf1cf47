"""Key files: made, read, refused."""

import os
from pathlib import Path

import pytest
import zmq
import zmq.auth

from pipeline.access.allow_list import LOOK_PERIOD_NS, AllowList
from pipeline.access.key_maker import allow_key, make_keys
from pipeline.access.keys import (
    KeyPair,
    load_client_keys,
    load_pair,
    load_public_key,
    load_station_keys,
    parse_key_file,
)
from pipeline.config import ConfigError
from pipeline.socket_config import SecurityConfig


@pytest.fixture
def folder(tmp_path):
    make_keys(tmp_path / "keys", "station")
    return tmp_path / "keys"


def client_file(tmp_path, name="plc1"):
    public, _ = make_keys(tmp_path / f"of-{name}", name)
    return public


def mode(path):
    return path.stat().st_mode & 0o777


def test_a_pair_is_secret_where_it_must_be_and_zeromq_itself_reads_it(folder):
    assert mode(folder) == 0o700
    assert mode(folder / "station.key_secret") == 0o600
    assert mode(folder / "station.key") == 0o644
    pair = load_pair(folder / "station.key_secret")
    assert zmq.auth.load_certificate(folder / "station.key_secret") == (pair.public, pair.secret)
    assert load_public_key(folder / "station.key") == pair.public
    assert b"secret" not in (folder / "station.key").read_bytes()


def test_files_of_zeromqs_own_tool_are_read(tmp_path):
    _, secret = zmq.auth.create_certificates(tmp_path, "other")
    Path(secret).chmod(0o600)
    assert load_pair(tmp_path / "other.key_secret").public == load_public_key(tmp_path / "other.key")


def test_the_umask_does_not_open_a_secret(tmp_path):
    old = os.umask(0)
    try:
        _, secret = make_keys(tmp_path / "keys", "station")
    finally:
        os.umask(old)
    assert mode(secret) == 0o600
    load_pair(secret)


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o660, 0o602])
def test_a_secret_that_others_can_get_at_is_refused(folder, bits):
    path = folder / "station.key_secret"
    path.chmod(bits)
    with pytest.raises(ConfigError, match=rf"found mode {bits:04o}, expected 0600.*Run: chmod 0600"):
        load_station_keys(SecurityConfig(keys_dir=str(folder)))


@pytest.mark.parametrize("which", [".", "allowed"])
def test_a_folder_that_others_can_write_is_refused(folder, which):
    (folder / which).chmod(0o722)
    with pytest.raises(ConfigError, match="found mode 0722, expected 0700"):
        load_station_keys(SecurityConfig(keys_dir=str(folder)))


def test_a_pair_is_never_overwritten(folder):
    before = (folder / "station.key_secret").read_bytes()
    with pytest.raises(ConfigError, match=r"station\.key_secret: exists"):
        make_keys(folder, "station")
    assert (folder / "station.key_secret").read_bytes() == before


@pytest.mark.parametrize("name", ["../plc", "a/b", "", ".", "x" * 33, "a\0"])
def test_a_name_is_never_a_path(folder, tmp_path, name):
    with pytest.raises(ConfigError, match="--name: found"):
        make_keys(folder, name)
    with pytest.raises(ConfigError, match="--name: found"):
        allow_key(folder, client_file(tmp_path), name=name)


def test_no_keys_says_what_to_run(tmp_path):
    with pytest.raises(ConfigError, match="Run: hlgfa keys make --out"):
        load_station_keys(SecurityConfig(keys_dir=str(tmp_path / "none")))


def test_the_public_file_is_not_taken_for_the_pair(folder):
    public = folder / "station.key"
    public.chmod(0o600)
    with pytest.raises(ConfigError, match=r"found a public key only, expected the file NAME\.key_secret"):
        load_client_keys(secret=public, server=folder / "station.key")


def test_a_secret_key_is_not_allowed_by_mistake(folder, tmp_path):
    public = client_file(tmp_path)
    with pytest.raises(ConfigError, match="found a secret key, which never leaves the client"):
        allow_key(folder, public.with_suffix(".key_secret"), name="plc1")


KEY = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"
SECRET = "JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6"
"""The pair of RFC 26's test vectors; SECRET is the one of another public key."""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "found no public-key"),
        ("\xff", "found no public-key"),
        (f'public-key = "{KEY[:39]}"', "found 39 characters, expected 40 of Z85"),
        (f'public-key = "{KEY[:39]}~"', "found 40 characters, expected 40 of Z85"),
        (f'public-key = "{"#" * 40}"', "expected 40 of Z85"),
        (f'public-key = "{KEY}"\npublic-key = "{KEY}"', "found two public keys"),
        (f'public-key = "{KEY}"\nsecret-key = "{KEY}"', "found a secret key of another public key"),
        ("x" * 5000, "found 5000 bytes"),
    ],
)
def test_what_is_no_key_file_is_refused_and_not_shown(text, words):
    with pytest.raises(ConfigError, match=f"some.key: .*{words}|some.key: {words}") as caught:
        parse_key_file(text.encode(), where="some.key")
    assert KEY[:20] not in str(caught.value)


def test_a_secret_is_not_in_the_repr():
    assert "secret" not in repr(KeyPair(public=b"p", secret=b"hidden"))
    assert "hidden" not in repr(KeyPair(public=b"p", secret=b"hidden"))


# The allow-list


def names(allowed, looks):
    return sorted(allowed.names(looks * LOOK_PERIOD_NS).values())


def test_who_is_allowed_is_read_again_when_it_changes(folder, tmp_path):
    allowed = AllowList(folder / "allowed")
    assert names(allowed, 0) == []
    path = allow_key(folder, client_file(tmp_path), name="plc1")
    assert sorted(allowed.names(LOOK_PERIOD_NS - 1).values()) == []
    assert names(allowed, 1) == ["plc1"]
    allow_key(folder, client_file(tmp_path, "hmi"), name="plc1")
    assert names(allowed, 2) == ["plc1"]
    [key] = allowed.names(2 * LOOK_PERIOD_NS)
    assert zmq.utils.z85.encode(key) == load_public_key(tmp_path / "of-hmi" / "hmi.key")
    path.unlink()
    assert names(allowed, 3) == []


def test_a_damaged_file_lets_nobody_in_and_the_others_still(folder, tmp_path):
    allow_key(folder, client_file(tmp_path), name="plc1")
    (folder / "allowed" / "bad.key").write_text("nonsense")
    (folder / "allowed" / "ä.key").write_bytes((tmp_path / "of-plc1" / "plc1.key").read_bytes())
    allowed = AllowList(folder / "allowed")
    assert names(allowed, 0) == ["plc1"]
    assert len(allowed.problems) == 2
    assert any("bad.key: found no public-key" in problem for problem in allowed.problems)


def test_a_folder_that_has_gone_lets_nobody_in(folder, tmp_path):
    allow_key(folder, client_file(tmp_path), name="plc1")
    allowed = AllowList(folder / "allowed")
    assert names(allowed, 0) == ["plc1"]
    (folder / "allowed" / "plc1.key").unlink()
    (folder / "allowed").rmdir()
    assert names(allowed, 1) == []
