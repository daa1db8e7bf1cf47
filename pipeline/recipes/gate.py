"""Whether a part may be judged now, and by which recipe. Pure: time comes in as host monotonic ns.

Rules:
1. While the gate is held neither recipe is valid: every part that is triggered then is a reject 30.
2. A part that was triggered before the active recipe became so is not its to judge: a reject 30, too.
3. Who states a recipe with a trigger gets a reject 31 if it is not the active one.
"""

from __future__ import annotations

from pipeline.judge import Basis
from pipeline.messages import Reason


class RecipeGate:
    """The recipe in force: `basis` is what parts are bound to, `number` the recipe's id, 0 for none."""

    def __init__(self) -> None:
        self.basis: Basis | None = None
        self.number = 0
        self.valid_from_ns = 0
        self._held: str | None = None

    @property
    def held(self) -> bool:
        """Whether neither recipe is valid."""
        return self._held is not None

    def hold(self, text: str) -> None:
        """Let no part be judged from now on; `text` says why."""
        self._held = text

    def release(self) -> None:
        """Let parts be judged again."""
        self._held = None

    def switch(self, number: int, now_ns: int) -> None:
        """Another recipe is in force for what is triggered from now on."""
        self.number = number
        self.valid_from_ns = now_ns

    def refusal(self, triggered_ns: int, *, stated: int | None) -> tuple[Reason, str] | None:
        """Why a part that was triggered then cannot be judged; None if it can."""
        if self._held is not None:
            return Reason.RECIPE_NOT_READY, self._held
        if triggered_ns < self.valid_from_ns:
            return Reason.RECIPE_NOT_READY, f"triggered before recipe {self.number} became active"
        if stated is not None and stated != self.number:
            active = f"recipe {self.number}" if self.number else "none with a number"
            return Reason.RECIPE_MISMATCH, f"recipe {stated} was stated, active is {active}"
        return None
