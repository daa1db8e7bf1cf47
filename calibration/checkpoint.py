"""What an interrupted training goes on from: cached features, and the guidance every few steps.

Everything with a closed form is computed again, which takes seconds and gives the same bits.
"""

from __future__ import annotations

import hashlib
import shutil
from typing import TYPE_CHECKING, Any, Protocol

import torch

from calibration.features import Features
from calibration.record import CalibrationError
from engines.records import replace_flushed, replacing

if TYPE_CHECKING:
    from pathlib import Path

KEY_NAME = "key"
EVERY_STEPS = 50
State = dict[str, Any]


class Kept(Protocol):
    """Where a training keeps what another one can begin with."""

    def load_features(self) -> Features | None:
        """Features, if they were saved."""

    def save_features(self, features: Features) -> None:
        """Keep features."""

    def load_guidance(self, tap: int) -> State | None:
        """State of a level's guidance, if it was saved."""

    def save_guidance(self, tap: int, state: State) -> None:
        """Keep the state of a level's guidance instead of an older one."""


class Checkpoint:
    """A folder that belongs to one training: to its settings, data and versions, by their hash.

    Args:
        folder: made if it is missing.
        identity: bytes that differ for every other training.
        resume: go on from what the folder holds; otherwise it is emptied first.

    Raises:
        CalibrationError: nothing to go on from, or what is there belongs to another training.
    """

    def __init__(self, folder: Path, identity: bytes, *, resume: bool) -> None:
        self.folder = folder
        key = hashlib.sha256(identity).hexdigest()
        path = folder / KEY_NAME
        if resume:
            if not path.is_file():
                raise CalibrationError(
                    f"{folder}: found nothing to go on from, expected what a stopped training left there. "
                    "Train without --resume."
                )
            if path.read_text() != key:
                raise CalibrationError(
                    f"{folder}: belongs to a training with other settings, images or package versions. Give "
                    "the same as then, or train without --resume."
                )
            return
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        replace_flushed(key.encode(), path)

    @staticmethod
    def holds(folder: Path, identity: bytes) -> bool:
        """Whether a stopped training with this identity has left something in the folder."""
        path = folder / KEY_NAME
        return path.is_file() and path.read_text() == hashlib.sha256(identity).hexdigest()

    def load_features(self) -> Features | None:
        """Features, if they were saved."""
        state = self._load("features.pt")
        return None if state is None else Features(state["high"], state["low"])

    def save_features(self, features: Features) -> None:
        """Keep features until the training has ended."""
        self._save("features.pt", features._asdict())

    def load_guidance(self, tap: int) -> State | None:
        """State of a level's guidance, if it was saved."""
        return self._load(f"guidance-{tap}.pt")

    def save_guidance(self, tap: int, state: State) -> None:
        """Keep the state of a level's guidance instead of an older one."""
        self._save(f"guidance-{tap}.pt", state)

    def remove(self) -> None:
        """Forget everything; the training has ended."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _load(self, name: str) -> State | None:
        path = self.folder / name
        if not path.is_file():
            return None
        state: State = torch.load(path, map_location="cpu", weights_only=True)
        return state

    def _save(self, name: str, state: State) -> None:
        """Flushed: what `--resume` is for is, among others, a loss of power."""
        with replacing(self.folder / name) as file:
            torch.save(state, file)
