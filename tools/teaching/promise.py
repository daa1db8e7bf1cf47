"""What a threshold promises with the parts that there were, in plain words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from calibration.threshold import parts_needed, parts_to_prove

if TYPE_CHECKING:
    from calibration.record import Calibration


def promise(found: Calibration) -> tuple[str, str]:
    """What share of good parts is rejected, as far as the parts can say; and what would say more."""
    aim, parts = percent(found.false_reject_rate), found.parts
    bound = percent(found.false_reject_upper)
    if parts < parts_needed(found.false_reject_rate):
        shown = f"{parts} parts show only that it is below {bound}"
    else:
        shown = f"{parts} parts show that it is {percent(found.false_reject_lower)} to {bound}"
    sure = f"{found.confidence:.0%} sure".replace("%", " %")
    return (
        f"false rejects: the threshold aims at {aim} of good parts like these; {shown} ({sure})",
        _more(found, aim),
    )


def _more(found: Calibration, aim: str) -> str:
    needed, proof = parts_needed(found.false_reject_rate), parts_to_prove(found.false_reject_rate)
    if found.parts >= proof:
        lower = 0.9 / (found.parts + 1)
        return f"for proof of no more than {aim}: hlgfa calibrate --false-reject-rate {lower:.2g}"
    read = f"{needed} parts show {aim} without extrapolation, " if found.parts < needed else ""
    return f"{read}{proof} can prove no more than {aim}: --parts, or hlgfa calibrate --good FOLDER later"


def percent(share: float) -> str:
    """A share for people: 0.0487 is "4.9 %"."""
    return f"{100 * share:.2g} %"
