"""Follows a changeover, from its request to its end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pipeline.access.keys import load_local_keys
from pipeline.client import Message
from pipeline.messages import EventHeader
from pipeline.recipes.recipe import RecipeError
from pipeline.socket_config import is_local

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.access.keys import ClientKeys
    from pipeline.client import ResultSubscriber
    from pipeline.config import Config
    from pipeline.messages import RecipeChange

ENDS = {"switched", "rolled_back", "failed"}


def follow(
    heard: ResultSubscriber, number: int, *, timeout_s: float, show: Callable[[str], None]
) -> RecipeChange:
    """Show every step of the changeover to a recipe, and return its end.

    Raises:
        RecipeError: the end did not come in time.
    """
    end_s = time.monotonic() + timeout_s
    while time.monotonic() < end_s:
        item = heard.receive(timeout_s=0.2)
        if not isinstance(item, Message) or not isinstance(item.header, EventHeader):
            continue
        change = item.header.recipe
        if change is None or change.id != str(number):
            continue
        show(item.header.text)
        if change.state in ENDS:
            return change
    raise RecipeError(
        f"recipe {number}: found no end of the changeover in {timeout_s:.0f} s. See: hlgfa watch"
    )


def local_keys(config: Config, endpoint: str, name: str) -> ClientKeys | None:
    """The pair with this name, for an address that wants keys."""
    if config.security is None or is_local(endpoint):
        return None
    return load_local_keys(config.security, name)
