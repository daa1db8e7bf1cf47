"""What a library does to logging does not reach the next test."""

import logging

from support.logging_guard import restore, state


def test_what_was_changed_is_seen_and_undone() -> None:
    before = state()
    root, ours = logging.getLogger(), logging.getLogger("pipeline.cameras.device")
    root.setLevel(logging.ERROR)
    root.addFilter(lambda _: False)
    logging.disable(logging.CRITICAL)
    ours.disabled, ours.propagate = True, False
    for handler in root.handlers:
        handler.setLevel(logging.CRITICAL)
    found = state()
    restore(before)
    assert found != before
    assert found.loggers["pipeline.cameras.device"] == (logging.NOTSET, True, False)
    assert state() == before
    assert ours.isEnabledFor(logging.WARNING)
