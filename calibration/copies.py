"""Values of the same parts twice: as they are, and, where training injects nuisances, with these."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable


class Copies(NamedTuple):
    """Tensors (n, ...) of n parts in the same order; `disturbed` is None without nuisances."""

    clean: Tensor
    disturbed: Tensor | None

    @classmethod
    def of(cls, stacked: Tensor, copies: int) -> Copies:
        """From (copies * n, ...), all parts in one copy after the other; `copies` is 1 or 2."""
        clean, *more = stacked.chunk(copies)
        return cls(clean, more[0] if more else None)

    def mapped(self, function: Callable[[Tensor], Tensor]) -> Copies:
        """Each copy through a function."""
        return Copies(function(self.clean), None if self.disturbed is None else function(self.disturbed))

    @property
    def stacked(self) -> Tensor:
        """(n, ...) or (2 n, ...)."""
        return self.clean if self.disturbed is None else torch.cat([self.clean, self.disturbed])
