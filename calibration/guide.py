"""Training of the guidance: the only part of the network that is learned by gradient."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from msgspec import Meta
from torch import Tensor, nn

from calibration import closed_form
from calibration.checkpoint import EVERY_STEPS
from calibration.level_data import chunked

if TYPE_CHECKING:
    from collections.abc import Callable

    from calibration.checkpoint import Kept
    from calibration.level_data import LevelData
    from engines.level import Level

WINDOW_PX = 256
"""HR pixels a side that one step of the guidance sees of a part: its cost is the same for every size."""


class Schedule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fixed schedule, last step; the same for every level and every part."""

    steps: Annotated[int, Meta(ge=1)] = 800
    batch: Annotated[int, Meta(ge=1)] = 8
    learning_rate: Annotated[float, Meta(gt=0)] = 2e-3


def train_guidance(
    level: Level,
    data: LevelData,
    schedule: Schedule,
    *,
    seed: int,
    on_step: Callable[[], None],
    checkpoint: Kept | None = None,
) -> None:
    """Fit the guidance to what it is to correct, on windows as large as the features of a small image.

    On top of the closed form the error is measured in the metric of the half-whitened residual: full
    whitening would spend the capacity on channels that are mostly noise, none at all on those that already
    align; half-way was best on held-out parts. Without the closed form it is the cosine distance.
    """
    assert level.guidance is not None
    guidance = level.guidance.train()
    loss_of = _metric_loss(level, data) if level.closed_form else _mean_of(level.discrepancy)
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.AdamW(guidance.parameters(), lr=schedule.learning_rate, weight_decay=1e-4)
    rate = torch.optim.lr_scheduler.OneCycleLR(
        optimiser,
        schedule.learning_rate,
        total_steps=schedule.steps,
        # A rise of exactly one step has no length to it, and torch divides by that.
        pct_start=0.1 if schedule.steps >= 20 else 0.3,
    )
    done = 0
    state = None if checkpoint is None else checkpoint.load_guidance(level.tap)
    if state is not None:
        guidance.load_state_dict(state["guidance"])
        optimiser.load_state_dict(state["optimiser"])
        rate.load_state_dict(state["rate"])
        generator.set_state(state["generator"])
        done = state["done"]
    for step in range(1, schedule.steps + 1):
        on_step()
        if step <= done:
            continue
        low, high = _batch(data, WINDOW_PX // level.tap, schedule.batch, generator)
        loss = loss_of(high, level.aligned(low, high))
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(guidance.parameters(), 1.0)
        optimiser.step()
        rate.step()
        if checkpoint is not None and (step % EVERY_STEPS == 0 or step == schedule.steps):
            state = {
                "guidance": guidance.state_dict(),
                "optimiser": optimiser.state_dict(),
                "rate": rate.state_dict(),
                "generator": generator.get_state(),
                "done": step,
            }
            checkpoint.save_guidance(level.tap, state)
    guidance.eval().requires_grad_(requires_grad=False)


def _metric_loss(level: Level, data: LevelData) -> Callable[[Tensor, Tensor], Tensor]:
    """Mean squared error in the metric of what the closed form leaves; about 1 at the start."""
    with torch.no_grad():
        left = chunked(lambda low, high: high - level.base(low), data)
        metric = closed_form.inverse_root(closed_form.ridged(closed_form.second_moment(left)), 0.25).float()[
            :, :, None, None
        ]
        metric /= F.conv2d(left[:16], metric).std()

    def loss(high: Tensor, aligned: Tensor) -> Tensor:
        return F.conv2d(high - aligned, metric).square().mean()

    return loss


def _mean_of(distance: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda high, aligned: distance(high, aligned).mean()


def _batch(data: LevelData, window: int, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """LR and HR features of random parts; of larger features one window of `window` positions a side."""
    chosen = torch.randint(len(data.high), (count,), generator=generator)
    rows, columns = (_window(size, window, generator) for size in data.high.shape[2:])
    return data.low[chosen][:, :, rows, columns], data.high[chosen][:, :, rows, columns]


def _window(size: int, window: int, generator: torch.Generator) -> slice:
    if size <= window:
        return slice(None)
    start = int(torch.randint(size - window + 1, (1,), generator=generator))
    return slice(start, start + window)
