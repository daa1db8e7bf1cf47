"""Parts that taught but look like none of the others: what a scratched part among good ones is known by."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from calibration.looks import far_from_median

if TYPE_CHECKING:
    from collections.abc import Sequence

    from calibration.parts import HeldOutPart


class OddPart(NamedTuple):
    """A part by its number on the contact sheet, and its score by a fit that did not see it."""

    number: int
    score: float


def odd_parts(scored: Sequence[HeldOutPart]) -> list[OddPart]:
    """Those whose scores are far above the median, the highest first; scores are of fits without the part.

    Far is as for what the contact sheet flags (`calibration.looks`).
    """
    scores = np.array([part.score for part in scored])
    limit = np.median(scores) + far_from_median(scores)
    found = [OddPart(int(PurePath(part.name).stem), part.score) for part in scored if part.score > limit]
    return sorted(found, key=lambda odd: -odd.score)


def said_odd(odd: Sequence[OddPart]) -> str:
    """What to do about them."""
    numbers = ",".join(str(one.number) for one in odd)
    return (
        f"{numbers} on the contact sheet look like none of the others and raise the threshold. Look at them; "
        f"what is not good: the same command with --resume --replace --exclude {numbers}"
    )
