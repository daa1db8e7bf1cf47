"""Who may see the page. Pure: decisions from what a request says.

Rules:
1. Without a token only this machine may look, and only under a name of this machine: a foreign page whose
   name was turned to 127.0.0.1 (DNS rebinding) has another one.
2. With a token nothing but the login is served without it. The cookie is not the token, and dies with it.
3. What changes something, and the WebSocket, want the Origin of the page itself.
"""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pipeline.config import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

COOKIE = "hlgfa_session"
MIN_TOKEN = 16
MAX_TOKEN = 512
OTHERS = 0o077
HERE = frozenset({"localhost", "127.0.0.1", "::1"})


def load_token(path: Path) -> str:
    """The token of a file.

    Raises:
        ConfigError: the file is missing, can be read by others, or holds none that is long enough.
    """
    try:
        mode, text = path.stat().st_mode, path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"dashboard.token_file: {path} cannot be read ({error}).") from error
    if mode & OTHERS:
        raise ConfigError(
            f"dashboard.token_file: {path} has mode {mode & 0o777:o}, expected 600: others can read it. Run: "
            f"chmod 600 {path}"
        )
    if not MIN_TOKEN <= len(text) <= MAX_TOKEN or not text.isascii():
        raise ConfigError(
            f"dashboard.token_file: found {len(text)} characters in {path}, expected {MIN_TOKEN} to "
            f"{MAX_TOKEN} of ASCII. Run: openssl rand -hex 24 > {path}"
        )
    return text


class Guard:
    """Decides who is let in; `token` None: only this machine."""

    def __init__(self, token: str | None) -> None:
        self._token = token
        self.session = "" if token is None else _session(token)

    @property
    def wants_token(self) -> bool:
        """Whether there is a login at all."""
        return self._token is not None

    def knows(self, given: str) -> bool:
        """Whether this is the token, compared in constant time."""
        return self._token is not None and hmac.compare_digest(given.encode(), self._token.encode())

    def lets_in(self, cookies: Mapping[str, str], host: str) -> bool:
        """Whether a request with these cookies and this Host is answered."""
        if self._token is None:
            return _name(host) in HERE
        return hmac.compare_digest(cookies.get(COOKIE, "").encode(), self.session.encode())

    @staticmethod
    def same_origin(origin: str | None, host: str) -> bool:
        """Whether a request comes from the page itself."""
        return bool(host) and origin is not None and urlsplit(origin).netloc == host


def _session(token: str) -> str:
    return hmac.new(token.encode(), b"hlgfa dashboard session 1", hashlib.sha256).hexdigest()


def _name(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None
