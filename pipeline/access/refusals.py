"""What clients were refused: counted each time, told now and then. Pure: the clock is an argument.

A client that is refused ten times a second must not fill the log, nor push other events out of a reader's
sight: each kind is told at most every `TELL_PERIOD_NS`, with how many there were.
"""

from __future__ import annotations

from collections import Counter
from typing import Literal, get_args

Kind = Literal["requests", "connections", "client keys", "key files", "nothing any more"]
KINDS: tuple[Kind, ...] = get_args(Kind)
TELL_PERIOD_NS = 10_000_000_000
MAX_TEXT = 300


class Refusals:
    """`counts` by kind since the start; `due` has what is to be told."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._told: Counter[str] = Counter()
        self._latest: dict[str, str] = {}
        self._next_ns: dict[str, int] = {}

    def note(self, kind: Kind, text: str) -> None:
        """Count a refusal; `text` says of whom and why."""
        self.counts[kind] += 1
        self._latest[kind] = text[:MAX_TEXT]

    def due(self, now_ns: int) -> list[str]:
        """Texts to announce now, one a kind; each refusal is in the count of exactly one of them."""
        texts = []
        for kind in [kind for kind in self._latest if now_ns >= self._next_ns.get(kind, now_ns)]:
            fresh = self.counts[kind] - self._told[kind]
            texts.append(f"refused {kind}, {fresh} new, {self.counts[kind]} in all: {self._latest.pop(kind)}")
            self._told[kind] = self.counts[kind]
            self._next_ns[kind] = now_ns + TELL_PERIOD_NS
        return texts
