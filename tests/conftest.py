"""Tests marked `gpu` run with --gpu (`make test-gpu`) only; then a missing GPU is a failure, not a skip."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--gpu", action="store_true", help="run the tests marked gpu")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--gpu"):
        return
    reason = "NO GPU: nothing was tested on one. On a machine that has one run: make test-gpu"
    for item in items:
        if item.get_closest_marker("gpu") is not None:
            item.add_marker(pytest.mark.skip(reason=reason))
