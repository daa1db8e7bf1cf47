"""Tests marked `gpu` run with --gpu (`make test-gpu`) only; then a missing GPU is a failure, not a skip.

What a test leaves changed in logging is undone, and told at the end (support.logging_guard).
"""

from typing import Any

import pytest

from support.logging_guard import State, restore, state

_BEFORE = pytest.StashKey[State]()
_CHANGED = pytest.StashKey[list[str]]()
_FOUND = pytest.StashKey[list[str]]()
_FROM_WORKER = "logging_changed"


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


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker of xdist has no summary of its own: the one who started it tells."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output[_FROM_WORKER] = session.stash.get(_CHANGED, [])


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """What a worker has found, if it has come to its end."""
    found = getattr(node, "workeroutput", {}).get(_FROM_WORKER, [])
    node.config.stash.setdefault(_FOUND, []).extend(found)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    session = terminalreporter._session
    changed = [] if session is None else session.stash.get(_CHANGED, [])
    changed = changed + terminalreporter.config.stash.get(_FOUND, [])
    for line in changed:
        terminalreporter.write_line(f"logging had been changed before {line}")
