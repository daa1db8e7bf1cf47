"""Who is let in, as decisions; tests/browser asks a server."""

from pathlib import Path

import pytest

from pipeline.config import ConfigError
from pipeline.dashboard.guard import COOKIE, Guard, load_token
from pipeline.dashboard_config import DashboardConfig, find_errors

TOKEN = "0123456789abcdef"


@pytest.mark.parametrize(
    ("host", "served"),
    [
        ("localhost:8470", True),
        ("127.0.0.1:8470", True),
        ("[::1]:8470", True),
        ("evil.example:8470", False),
        ("127.0.0.1.evil.example", False),
        ("", False),
        ("[", False),
    ],
)
def test_without_a_token_only_names_of_this_machine_are_served(host: str, served: bool) -> None:
    assert Guard(None).lets_in({}, host) == served


def test_with_a_token_the_cookie_lets_in_and_dies_with_the_token() -> None:
    guard = Guard(TOKEN)
    assert guard.lets_in({COOKIE: guard.session}, "press-3")
    for value in ("", TOKEN, Guard(TOKEN + "0").session, "é"):
        assert not guard.lets_in({COOKIE: value}, "localhost")
    assert guard.knows(TOKEN)
    assert not guard.knows("")
    assert not Guard(None).knows("")


@pytest.mark.parametrize(
    "origin", [None, "null", "", "http://evil.example", "http://press-3:1", "press-3:8470"]
)
def test_another_origin_is_not_ours(origin: str | None) -> None:
    assert not Guard.same_origin(origin, "press-3:8470")
    assert Guard.same_origin("http://press-3:8470", "press-3:8470")


@pytest.mark.parametrize(
    ("text", "mode", "words"),
    [("short", 0o600, "16 to"), (TOKEN, 0o644, "chmod 600"), ("ü" * 20, 0o600, "ASCII")],
)
def test_a_token_file_that_is_weak_or_open_is_refused(
    tmp_path: Path, text: str, mode: int, words: str
) -> None:
    path = tmp_path / "token"
    path.write_text(text)
    path.chmod(mode)
    with pytest.raises(ConfigError, match=words):
        load_token(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_token(tmp_path / "none")


def test_an_address_of_the_network_wants_a_token_and_tls_both_files() -> None:
    assert list(find_errors(DashboardConfig())) == []
    assert "without token_file" in next(find_errors(DashboardConfig(host="0.0.0.0")))
    assert list(find_errors(DashboardConfig(host="0.0.0.0", token_file="t"))) == []
    assert "expected both or none" in next(find_errors(DashboardConfig(certificate="c")))
