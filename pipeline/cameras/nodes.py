"""The features of one opened device, whatever its SDK: what `pipeline.cameras.features` needs of them."""

from __future__ import annotations

from typing import Protocol, Union

import msgspec

Value = Union[bool, int, float, str]  # noqa: UP007 - evaluated on Python 3.10


class FeatureError(Exception):
    """The device refuses a value; the message is the SDK's reason in one line."""


class Limits(msgspec.Struct, frozen=True):
    """What a number may be: `low` to `high`, in steps from `low` if `step` is not None."""

    low: float
    high: float
    step: float | None = None

    def __contains__(self, value: float) -> bool:
        stepped = self.step is None or (value - self.low) % self.step == 0
        return self.low <= value <= self.high and stepped

    def __str__(self) -> str:
        steps = f" in steps of {self.step:g}" if self.step is not None and self.step != 1 else ""
        return f"{self.low} to {self.high}{steps}"


class NodeMap(Protocol):
    """The features of one opened device by their own names, over one SDK.

    What is asked of a feature must fit it: `readable` or `writable` says whether it may be asked at all.
    """

    def readable(self, name: str) -> bool:
        """Whether the device has the feature and lets it be read."""
        ...

    def writable(self, name: str) -> bool:
        """Whether the device has the feature and lets it be set now."""
        ...

    def value(self, name: str) -> Value:
        """What the feature is set to."""
        ...

    def set(self, name: str, value: Value) -> None:
        """Set the feature.

        Raises:
            FeatureError: the device refuses the value, or it is of the wrong type.
        """
        ...

    def limits(self, name: str) -> Limits:
        """What a feature that is a number may be set to now."""
        ...

    def symbolics(self, name: str) -> tuple[str, ...]:
        """The values that an enumeration offers now."""
        ...

    def execute(self, name: str) -> None:
        """Run a command."""
        ...
