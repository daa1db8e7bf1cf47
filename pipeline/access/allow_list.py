"""The clients that may connect: a folder of public keys, read again when it changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zmq.utils import z85

from pipeline.access.keys import NAME, PUBLIC_SUFFIX, load_public_key
from pipeline.config import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

LOOK_PERIOD_NS = 500_000_000
MAX_CLIENTS = 256


class AllowList:
    """Names of clients by their public key, the 32 bytes that libzmq asks with.

    A file that cannot be used lets nobody in; `problems` says which. Names are those of the files. A look
    that fails lets nobody in, and whoever is in stay.
    """

    def __init__(self, folder: Path) -> None:
        self.problems: list[str] = []
        self._folder = folder
        self._names: dict[bytes, str] = {}
        self._known: Mapping[bytes, str] = {}
        self._seen: object = None
        self._looked_ns: int | None = None

    def names(self, now_ns: int) -> Mapping[bytes, str]:
        """Who may connect. The folder is looked at no more than twice a second, however many knock."""
        if self._looked_ns is None or now_ns - self._looked_ns >= LOOK_PERIOD_NS:
            self._looked_ns = now_ns
            self._look()
        return self._names

    def known(self, now_ns: int) -> Mapping[bytes, str]:
        """Who may stay connected; another object once that has changed."""
        self.names(now_ns)
        return self._known

    def _look(self) -> None:
        try:
            files = sorted(self._folder.glob(f"*{PUBLIC_SUFFIX}"))
            seen = [(file.name, *_identity(file)) for file in files]
        except OSError as error:  # a file that is just being replaced is seen by the next look
            self._names, self._seen = {}, None
            self.problems = [f"{self._folder}: cannot be read ({error.strerror}); nobody new may connect."]
            return
        if seen != self._seen:
            self._seen = seen
            self._read(files)

    def _read(self, files: list[Path]) -> None:
        names: dict[bytes, str] = {}
        problems = []
        if len(files) > MAX_CLIENTS:
            problems.append(f"{self._folder}: found {len(files)} keys, {MAX_CLIENTS} are read.")
        for file in files[:MAX_CLIENTS]:
            try:
                if not NAME.fullmatch(file.stem):
                    raise ConfigError(f"{file}: found this name, expected letters, digits, _ or -.")
                names[z85.decode(load_public_key(file))] = file.stem
            except ConfigError as error:
                problems.append(str(error))
        self._names = self._known = names
        self.problems = problems


def _identity(file: Path) -> tuple[int, int, int]:
    """Changes with every new content: a replaced file has another inode, a written one another time."""
    status = file.stat()
    return status.st_ino, status.st_mtime_ns, status.st_size
