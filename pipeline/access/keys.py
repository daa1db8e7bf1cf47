"""CURVE keys as files: made, read, and refused if others on this machine can read what is secret.

A file is ZeroMQ's own certificate, so that every tool of ZeroMQ reads it:

    metadata
    curve
        public-key = "40 characters of Z85"
        secret-key = "40 characters of Z85"

`NAME.key` has the public key only and may be copied anywhere; `NAME.key_secret` has both and stays where it
was made. A station's folder of keys has `allowed/NAME.key` beside its own pair: the clients that may connect.
"""

from __future__ import annotations

import os
import re
import stat
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import zmq
from zmq.utils import z85

from pipeline.config import ConfigError

if TYPE_CHECKING:
    from pipeline.socket_config import SecurityConfig

PUBLIC_SUFFIX, SECRET_SUFFIX = ".key", ".key_secret"
ALLOWED = "allowed"
MAX_KEY_FILE_BYTES = 4096
NAME = re.compile(r"[A-Za-z0-9_-]{1,32}")
_LINE = re.compile(r'(public|secret)-key\s*=\s*"([^"]*)"')
OTHERS, OTHERS_WRITE = 0o077, 0o022


class KeyPair(msgspec.Struct, frozen=True, kw_only=True):
    """Keys as 40 characters of Z85; `secret` is None where only the public key is known."""

    public: bytes
    secret: bytes | None = None

    def __repr__(self) -> str:
        """Without the secret: a repr ends in logs and tracebacks."""
        return f"KeyPair(public={self.public!r})"


class StationKeys(msgspec.Struct, frozen=True, kw_only=True):
    """A station's own pair, and the folder of the public keys that may connect."""

    pair: KeyPair
    allowed: Path


class ClientKeys(msgspec.Struct, frozen=True, kw_only=True):
    """A client's own pair, and the public key of the station that it expects to meet."""

    pair: KeyPair
    server: bytes


def parse_key_file(data: bytes, *, where: str) -> KeyPair:
    """The keys in the bytes of a key file.

    Raises:
        ConfigError: this is not a key file, or its keys are not a pair.
    """
    if len(data) > MAX_KEY_FILE_BYTES:
        raise ConfigError(f"{where}: found {len(data)} bytes, expected a key file of {MAX_KEY_FILE_BYTES}.")
    try:
        lines = data.decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{where}: is no key file: {error}") from error
    found: dict[str, bytes] = {}
    for line in lines:
        match = _LINE.fullmatch(line.strip())
        if match is None:
            continue
        which, text = match.groups()
        if which in found:
            raise ConfigError(f"{where}: found two {which} keys, expected one. Make a new pair.")
        found[which] = _checked(text, f"{where}: {which}-key")
    if "public" not in found:
        raise ConfigError(f'{where}: found no public-key = "...", expected a key file of `hlgfa keys make`.')
    pair = KeyPair(public=found["public"], secret=found.get("secret"))
    if pair.secret is not None and zmq.curve_public(pair.secret) != pair.public:
        raise ConfigError(f"{where}: found a secret key of another public key. Make a new pair.")
    return pair


def _checked(text: str, where: str) -> bytes:
    """Forty characters that stand for 32 bytes; the text is not shown, it may be a secret."""
    try:
        if len(text) == 40 and len(z85.decode(text)) == 32:
            return text.encode("ascii")
    except (KeyError, ValueError, struct.error):
        pass
    raise ConfigError(f"{where}: found {len(text)} characters, expected 40 of Z85. Copy the file again.")


def load_public_key(path: Path) -> bytes:
    """The public key of a file, which may hold a pair.

    Raises:
        ConfigError: the file cannot be read or is no key file.
    """
    return read_key_file(path, forbidden=0).public


def load_pair(path: Path) -> KeyPair:
    """The pair of a secret file that nobody else on this machine can read.

    Raises:
        ConfigError: the file cannot be read, others can read it, or it holds no pair.
    """
    pair = read_key_file(path, forbidden=OTHERS)
    if pair.secret is None:
        raise ConfigError(f"{path}: found a public key only, expected the file NAME{SECRET_SUFFIX}.")
    return pair


def load_client_keys(*, secret: Path, server: Path) -> ClientKeys:
    """What a client needs: its own secret file, and the station's public file.

    Raises:
        ConfigError: a file cannot be used.
    """
    return ClientKeys(pair=load_pair(secret), server=load_public_key(server))


def load_local_keys(security: SecurityConfig, name: str) -> ClientKeys:
    """What a client needs that runs beside the station, its pair `name` in the station's folder of keys.

    Raises:
        ConfigError: a file or folder is missing, damaged, or open to others.
    """
    folder = Path(security.keys_dir)
    check_folder(folder, what="security.keys_dir", forbidden=OTHERS)
    return load_client_keys(
        secret=folder / f"{name}{SECRET_SUFFIX}", server=folder / f"{security.server_key}{PUBLIC_SUFFIX}"
    )


def load_station_keys(security: SecurityConfig) -> StationKeys:
    """The keys that config.yaml names.

    Raises:
        ConfigError: a file or folder is missing, damaged, or open to others.
    """
    folder = Path(security.keys_dir)
    check_folder(folder, what="security.keys_dir", forbidden=OTHERS)
    allowed = Path(security.allowed_dir) if security.allowed_dir else folder / ALLOWED
    check_folder(allowed, what="security.allowed_dir", forbidden=OTHERS_WRITE)
    return StationKeys(pair=load_pair(folder / f"{security.server_key}{SECRET_SUFFIX}"), allowed=allowed)


def check_folder(folder: Path, *, what: str, forbidden: int) -> None:
    """Refuse a folder that is missing or lends others the permissions `forbidden`.

    Raises:
        ConfigError: it is so.
    """
    try:
        status = folder.stat()
    except OSError as error:
        raise ConfigError(
            f"{what}: {folder} cannot be read ({error.strerror}). Run: hlgfa keys make --out DIR"
        ) from error
    if not stat.S_ISDIR(status.st_mode):
        raise ConfigError(f"{what}: found the file {folder}, expected a folder of `hlgfa keys make`.")
    _check_private(status, folder, forbidden)


def read_key_file(path: Path, *, forbidden: int) -> KeyPair:
    """The keys in a file that does not lend others the permissions `forbidden`: those of the very file read.

    Raises:
        ConfigError: the file cannot be read, others can get at it, or it is no key file.
    """
    try:
        with path.open("rb") as file:
            _check_private(os.fstat(file.fileno()), path, forbidden)
            data = file.read(MAX_KEY_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}). Run: hlgfa keys make") from error
    return parse_key_file(data, where=str(path))


def _check_private(status: os.stat_result, path: Path, forbidden: int) -> None:
    mode = stat.S_IMODE(status.st_mode)
    expected = mode & ~forbidden
    if mode != expected:
        raise ConfigError(
            f"{path}: found mode {mode:04o}, expected {expected:04o}: others on this machine can get at it. "
            f"Run: chmod {expected:04o} {path}"
        )
    if forbidden and status.st_uid not in (os.geteuid(), 0):
        raise ConfigError(
            f"{path}: found it owned by user {status.st_uid}, expected {os.geteuid()}. Make keys of your own."
        )
