"""What clients ask of recipes, and what they hear at once; the changeover itself goes on by itself."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pipeline.access.limits import TokenBucket
from pipeline.recipes.active_record import known_sha256
from pipeline.recipes.plan import make_plan
from pipeline.recipes.recipe import RecipeError
from pipeline.requests import ChangeoverReply, ChangeoverRequest, RecipeEntry, RecipesReply

if TYPE_CHECKING:
    from pipeline.access.front_desk import Asked
    from pipeline.config import Config
    from pipeline.flow import Flow
    from pipeline.recipes.changer import Changer
    from pipeline.recipes.shelf import RecipeShelf
    from pipeline.requests import RecipeRequest, Reply

CHANGES_PER_S, CHANGES_AT_ONCE = 0.2, 5


class RecipeDesk:
    """Lists recipes, and lets one changeover at a time begin."""

    def __init__(self, config: Config, shelf: RecipeShelf, *, changer: Changer, flow: Flow) -> None:
        self._config = config
        self._shelf = shelf
        self.changer = changer
        self._flow = flow
        self._limit = TokenBucket(per_s=CHANGES_PER_S, at_once=CHANGES_AT_ONCE, now_ns=time.monotonic_ns())

    def on_request(self, request: RecipeRequest, asked: Asked) -> Reply:
        """Answer a request of recipes."""
        if not isinstance(request, ChangeoverRequest):
            return self._recipes()
        reason = self._begin(request, _who(request.operator, asked.peer))
        return ChangeoverReply(recipe=request.recipe, accepted=reason is None, reason=reason or "")

    def _recipes(self) -> RecipesReply:
        try:
            found, problems = self._shelf.look()
        except RecipeError as error:
            return RecipesReply(recipes=[], problems=[str(error)])
        entries = [
            RecipeEntry(
                id=item.recipe.id,
                version=item.recipe.version,
                title=item.recipe.title,
                sha256=known_sha256(self.changer.record, item),
                active=self.changer.is_active(item),
            )
            for item in found
        ]
        return RecipesReply(recipes=entries, problems=problems)

    def _begin(self, request: ChangeoverRequest, operator: str) -> str | None:
        """Begin a changeover, or say why not."""
        if self.changer.under_way is not None:
            return f"a changeover to {self.changer.under_way} is under way, expected one at a time"
        if not self._flow.accepting:
            return "the station takes no parts now. Ask again when its status says ready"
        if not self._limit.take(time.monotonic_ns()):
            return f"too many changeovers, expected at most one in {1 / CHANGES_PER_S:.0f} s. Ask again later"
        try:
            found = self._shelf.find(request.recipe)
            if self.changer.is_active(found):
                return f"{found.name} is active already"
            changes, record = self.changer.changes + 1, self.changer.record
            plan = make_plan(found, self._config, changes=changes, record=record)
        except RecipeError as error:
            return str(error)
        self.changer.begin(plan, operator)
        return None


def _who(operator: str, peer: bytes) -> str:
    """Who asks: the name that was given, and the client that CURVE has proven."""
    client = peer.decode("utf-8", "replace") if peer.startswith(b"client ") else ""
    return ", ".join(text for text in (operator, client) if text) or "unnamed"
