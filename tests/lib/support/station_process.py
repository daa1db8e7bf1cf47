"""`hlgfa run` in a process of its own, as it runs on a line."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from typing_extensions import Self

COMMAND = [sys.executable, "-m", "tools.cli"]
PATIENCE_S = 60


def write_config(root: Path, raw: dict[str, Any]) -> Path:
    """Write config.yaml with addresses that are known before the station runs."""
    sockets = {name: f"ipc://{root}/{name}" for name in ("results", "heatmaps", "replay")}
    path = root / "config.yaml"
    path.write_text(yaml.safe_dump(raw | {"sockets": raw["sockets"] | sockets}))
    return path


class StationProcess:
    """A station, ready once constructed; a context manager that kills what is left of it.

    `within`: a command that runs it. `errors` is what it wrote to standard error after it was ready.
    """

    def __init__(
        self, config: Path, *, within: Sequence[str] = (), env: Mapping[str, str] | None = None
    ) -> None:
        self._process = subprocess.Popen(
            [*within, *COMMAND, "run", str(config)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=None if env is None else dict(env),
        )
        self.errors = ""
        assert self._process.stderr is not None
        before = []
        for text in self._process.stderr:
            if text.startswith("ready"):
                return
            before.append(text)
        code = self._process.wait()
        raise AssertionError(f"the station ended with {code} before it was ready: {''.join(before)}")

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def children(self) -> list[int]:
        """Process ids of its children."""
        listing = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return [int(pid) for pid in listing.split()]

    def terminate(self) -> None:
        """Ask it to stop, as systemd does."""
        self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a crash does."""
        self._process.kill()

    def finish(self) -> tuple[int, str]:
        """Wait for its end: exit code, and what it wrote to standard output."""
        out, self.errors = self._process.communicate(timeout=PATIENCE_S)
        return self._process.returncode, out

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.kill()
        self._process.communicate()
