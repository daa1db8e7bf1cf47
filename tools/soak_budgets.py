"""The budget table of config.yaml against what a run measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.config import BudgetsConfig

TIMES = {
    "transfer_p99_ms": ("transfer", "p99_us"),
    "queue_p99_ms": ("queue", "p99_us"),
    "inference_p99_ms": ("inference", "p99_us"),
    "decision_p99_ms": ("decision", "p99_us"),
    "trigger_to_published_p99_ms": ("trigger to published", "p99_us"),
    "overhead_p50_ms": ("overhead", "p50_us"),
    "overhead_p99_ms": ("overhead", "p99_us"),
}
"""Key of the budget -> stage and figure."""


class Line(NamedTuple):
    """One budget: what was found, None if the run did not measure it, and what is allowed."""

    key: str
    found: float | None
    limit: float

    @property
    def holds(self) -> bool:
        """Whether it was measured and is within the limit."""
        return self.found is not None and self.found <= self.limit


def compare(budgets: BudgetsConfig, found: Mapping[str, float]) -> list[Line]:
    """Every budget that is set, beside what was found under the same key."""
    limits = {key: getattr(budgets, key) for key in budgets.__struct_fields__}
    return [Line(key, found.get(key), float(limit)) for key, limit in limits.items() if limit is not None]
