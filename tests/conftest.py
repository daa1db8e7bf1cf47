"""Tests marked `gpu` run with --gpu (`make test-gpu`) only; then a missing GPU is a failure, not a skip.

What a test leaves changed in logging is undone, and told at the end (support.logging_guard).
"""

import pytest

from support.logging_guard import State, restore, state

_BEFORE = pytest.StashKey[State]()
_CHANGED = pytest.StashKey[list[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--gpu", action="store_true", help="run the tests marked gpu")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--gpu"):
        return
    reason = "NO GPU: nothing was tested on one. On a machine that has one run: make test-gpu"
    for item in items:
        if item.get_closest_marker("gpu") is not None:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.hookimpl(trylast=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """After the fixtures of the test: they may load a library, too."""
    before = item.session.stash.setdefault(_BEFORE, state())
    found = state()
    if found != before:
        item.session.stash.setdefault(_CHANGED, []).append(f"{item.nodeid}: found {found}")
        restore(before)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    session = terminalreporter._session
    changed = [] if session is None else session.stash.get(_CHANGED, [])
    for line in changed:
        terminalreporter.write_line(f"logging had been changed before {line}")
