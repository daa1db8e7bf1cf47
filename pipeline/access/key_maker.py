"""Makes key files, and lets clients in. A pair is never written over."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import zmq

from pipeline.access.keys import (
    ALLOWED,
    NAME,
    OTHERS,
    PUBLIC_SUFFIX,
    SECRET_SUFFIX,
    KeyPair,
    check_folder,
    read_key_file,
)
from pipeline.config import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


def make_keys(folder: Path, name: str) -> tuple[Path, Path]:
    """Write a new pair as `NAME.key` and `NAME.key_secret`, and a folder for the keys that may connect.

    Raises:
        ConfigError: the name is not allowed, a file is there already, or the folder cannot be written.
    """
    check_name(name)
    public, secret = zmq.curve_keypair()
    paths = folder / f"{name}{PUBLIC_SUFFIX}", folder / f"{name}{SECRET_SUFFIX}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        check_folder(folder, what="--out", forbidden=OTHERS)
        (folder / ALLOWED).mkdir(mode=0o700, exist_ok=True)
        _write_new(paths[1], _file_text(KeyPair(public=public, secret=secret)), mode=0o600)
        _write_new(paths[0], _file_text(KeyPair(public=public)), mode=0o644)
    except FileExistsError as error:
        raise ConfigError(
            f"{error.filename}: exists. Choose another --name, or remove the pair: clients that know it must "
            "then get the new public key."
        ) from error
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be written ({error.strerror}). Choose another --out.") from error
    return paths


def allow_key(folder: Path, client: Path, *, name: str) -> Path:
    """Let a client in: its public key becomes `allowed/NAME.key`, in one step, also beside a running station.

    Raises:
        ConfigError: the name is not allowed, the file is none of a public key, or it cannot be written.
    """
    check_name(name)
    check_folder(folder, what="keys", forbidden=OTHERS)
    pair = read_key_file(client, forbidden=0)
    if pair.secret is not None:
        raise ConfigError(
            f"{client}: found a secret key, which never leaves the client. Copy its {PUBLIC_SUFFIX} file."
        )
    path = folder / ALLOWED / f"{name}{PUBLIC_SUFFIX}"
    fresh = path.with_suffix(f".{os.getpid()}")
    try:
        _write_new(fresh, _file_text(pair), mode=0o644)
        fresh.replace(path)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror}). Run: hlgfa keys make") from error
    return path


def check_name(name: str) -> None:
    """Refuse a name that could be a path.

    Raises:
        ConfigError: it is not 1 to 32 letters, digits, `_` or `-`.
    """
    if not NAME.fullmatch(name):
        raise ConfigError(f"--name: found {name!r}, expected 1 to 32 letters, digits, _ or -.")


def _file_text(pair: KeyPair) -> bytes:
    lines = ["metadata", "curve", f'    public-key = "{pair.public.decode()}"']
    if pair.secret is not None:
        lines.append(f'    secret-key = "{pair.secret.decode()}"')
    return "\n".join([*lines, ""]).encode()


def _write_new(path: Path, data: bytes, *, mode: int) -> None:
    """Never follows a link, never an old file; secret from its first byte."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
