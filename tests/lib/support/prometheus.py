"""Debian's Prometheus: the server on a free port of loopback, with the repository's own configuration."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from support.gateways import free_port

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Self

DEPLOY = Path(__file__).parents[3] / "deploy" / "prometheus"
NEEDS_PROMETHEUS = pytest.mark.skipif(
    shutil.which("promtool") is None or shutil.which("prometheus") is None,
    reason="NO PROMETHEUS: no alert was evaluated. On Debian run: apt-get install prometheus",
)
PATIENCE_S = 60.0


class Prometheus:
    """A server that looks at the targets every second; ready once constructed, killed at the end."""

    def __init__(self, root: Path, targets: list[str]) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        config = yaml.safe_load((DEPLOY / "prometheus.yml").read_text(encoding="utf-8"))
        config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        config["rule_files"] = [str(DEPLOY / "alerts.yaml")]
        config["scrape_configs"][0]["static_configs"] = [{"targets": targets}]
        path = root / "prometheus.yml"
        path.write_text(yaml.safe_dump(config))
        listen = self.url.removeprefix("http://")
        command = ["prometheus", f"--config.file={path}", f"--storage.tsdb.path={root / 'tsdb'}"]
        self._log = (root / "prometheus.log").open("wb")
        self._process = subprocess.Popen([*command, f"--web.listen-address={listen}"], stderr=self._log)
        self.wait_for(self._is_ready, "Prometheus")

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Series of an instant query."""
        found: list[dict[str, Any]] = self._ask("query", query=expression)["result"]
        return found

    def targets(self) -> list[dict[str, Any]]:
        """What is scraped, with its health."""
        found: list[dict[str, Any]] = self._ask("targets")["activeTargets"]
        return found

    def rules(self) -> dict[str, dict[str, Any]]:
        """Every alert by its name, with its health, its state and its active alerts."""
        return {rule["name"]: rule for group in self._ask("rules")["groups"] for rule in group["rules"]}

    def wait_for(self, condition: Callable[[], Any], what: str) -> Any:
        """What the condition returns as soon as it is true."""
        end = time.monotonic() + PATIENCE_S
        while not (found := condition()):
            assert time.monotonic() < end, f"{what} did not come in {PATIENCE_S} s"
            time.sleep(0.1)
        return found

    def _ask(self, path: str, **arguments: str) -> dict[str, Any]:
        address = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(arguments)}"
        with urllib.request.urlopen(address, timeout=PATIENCE_S) as answer:
            found: dict[str, Any] = json.load(answer)["data"]
        return found

    def _is_ready(self) -> bool:
        assert self._process.poll() is None, Path(self._log.name).read_text()
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=PATIENCE_S):
                return True
        except urllib.error.URLError:
            return False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.kill()
        self._process.wait()
        self._log.close()
