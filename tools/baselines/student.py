"""A student that learned to repeat the backbone on good parts, after STFPM.

Wang, Han, Ding, Huang, "Student-Teacher Feature Pyramid Matching for Anomaly Detection", BMVC 2021, arXiv
2103.04257. As published: a student of the teacher's own architecture with random weights, SGD of rate 0.4 on
the squared distance of features that are normalised over channels; the map is the product of the enlarged
distances of all levels, without smoothing; the image score is its maximum. Ours, so that a CPU can train it:
the student starts from the frozen teacher's stride-4 features instead of the image, batches of 8 instead of
32 with the rate falling to 0 over a fixed number of steps, and the last step is kept, not the best of a
validation set.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn

from calibration.record import CalibrationError
from tools.baselines.maps import AnomalyScores, Features, Progress, enlarged, hr_size

if TYPE_CHECKING:
    from collections.abc import Mapping

START_STRIDE = 4
_START_CHANNELS = 24


class _Stage(NamedTuple):
    kernel: int
    stride: int
    channels: int
    blocks: int


_EXPANSION = 6
_STAGES = {8: [_Stage(5, 2, 40, 2)], 16: [_Stage(3, 2, 80, 3), _Stage(5, 1, 112, 3)]}
"""Stride of a tap -> stages 3 to 5 of EfficientNet-Lite0 that lead to it from the tap before."""


class StudentSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Fixed schedule."""

    steps: int = 600
    batch: int = 8
    learning_rate: float = 0.4
    momentum: float = 0.9
    weight_decay: float = 1e-4


class StudentNetwork(nn.Module):
    """The teacher's stages after stride 4, up to the coarsest tap."""

    def __init__(self, taps: Sequence[int]) -> None:
        super().__init__()
        self.taps = tuple(sorted(taps))
        self.stages = nn.ModuleDict()
        width = _START_CHANNELS
        for stride, stages in _STAGES.items():
            if stride <= max(taps):
                self.stages[str(stride)] = nn.Sequential(*_blocks(width, stages))
                width = stages[-1].channels

    def forward(self, x: Tensor) -> dict[int, Tensor]:
        """(N, 24, h, w) at stride 4 -> by tap (N, C, h / 2, w / 2) and so on; h and w are even."""
        features = {}
        for stride, stage in self.stages.items():
            x = stage(x)
            features[int(stride)] = x
        return {tap: features[tap] for tap in self.taps}


class Student:
    """A trained student, in evaluation mode; `losses` holds the loss of every step of its training."""

    def __init__(self, network: StudentNetwork, losses: Sequence[float]) -> None:
        self.network, self.losses = network.eval(), list(losses)

    @classmethod
    def fit(
        cls,
        features: Features,
        taps: Sequence[int],
        settings: StudentSettings,
        *,
        seed: int,
        progress: Progress,
    ) -> Student:
        """Learn from features of good parts, stride 4 among them; the seed fixes weights and batches.

        Raises:
            CalibrationError: a tap is not one that the student has, or stride 4 is missing.
        """
        _check(features, taps)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = StudentNetwork(taps).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        generator = torch.Generator().manual_seed(seed)
        optimiser = torch.optim.SGD(
            network.parameters(),
            lr=settings.learning_rate,
            momentum=settings.momentum,
            weight_decay=settings.weight_decay,
        )
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(1, settings.steps))
        losses = []
        for step in range(settings.steps):
            chosen = torch.randint(len(features[START_STRIDE]), (settings.batch,), generator=generator)
            start = features[START_STRIDE][chosen].contiguous(memory_format=torch.channels_last)
            levels = level_distances({tap: features[tap][chosen] for tap in taps}, network(start))
            loss = torch.stack([level.mean() for level in levels]).sum()
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            losses.append(float(loss.detach()))
            progress(step + 1, settings.steps)
        return cls(network, losses)

    @torch.inference_mode()
    def score(self, features: Features) -> AnomalyScores:
        """Anomaly maps and image scores of the images whose features these are."""
        start = features[START_STRIDE].contiguous(memory_format=torch.channels_last)
        size_px = hr_size(features)
        levels = [enlarged(level, size_px) for level in level_distances(features, self.network(start))]
        maps = torch.stack(levels).prod(dim=0)
        return AnomalyScores(maps.numpy(), maps.amax(dim=(1, 2)).numpy())


def level_distances(teacher: Features, student: Mapping[int, Tensor]) -> list[Tensor]:
    """Per tap |t - s|^2 / 2 of features normalised over channels, (N, h, w): one minus their cosine."""
    return [
        (F.normalize(teacher[tap], dim=1) - F.normalize(x, dim=1)).square().sum(dim=1) / 2
        for tap, x in student.items()
    ]


def _check(features: Features, taps: Sequence[int]) -> None:
    if not taps or set(taps) - set(_STAGES):
        raise CalibrationError(
            f"student: found taps {sorted(taps)}, expected some of {sorted(_STAGES)}. Choose other --taps."
        )
    expected = {START_STRIDE: _START_CHANNELS, **{tap: _STAGES[tap][-1].channels for tap in sorted(taps)}}
    found = {stride: features[stride].shape[1] for stride in expected if stride in features}
    if found != expected:
        raise CalibrationError(
            f"student: found channels by stride {found}, expected {expected}. Use EfficientNet-Lite0."
        )


def _blocks(width: int, stages: Sequence[_Stage]) -> list[nn.Module]:
    blocks: list[nn.Module] = []
    for stage in stages:
        for position in range(stage.blocks):
            stride = stage.stride if position == 0 else 1
            blocks.append(_InvertedResidual(width, stage, stride))
            width = stage.channels
    return blocks


class _InvertedResidual(nn.Module):
    """Expand, depthwise, project as the teacher does, with BatchNorm of its own."""

    def __init__(self, width: int, stage: _Stage, stride: int) -> None:
        super().__init__()
        inner, kernel = width * _EXPANSION, stage.kernel
        # TensorFlow's SAME padding for even sizes, as in the teacher: the odd pixel goes to the right.
        before = (kernel - stride) // 2
        self.layers = nn.Sequential(
            nn.Conv2d(width, inner, 1, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU6(inplace=True),
            nn.ZeroPad2d((before, kernel - stride - before) * 2),
            nn.Conv2d(inner, inner, kernel, stride=stride, groups=inner, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU6(inplace=True),
            nn.Conv2d(inner, stage.channels, 1, bias=False),
            nn.BatchNorm2d(stage.channels),
        )
        self.skip = stride == 1 and width == stage.channels

    def forward(self, x: Tensor) -> Tensor:
        """(N, width, h, w) -> (N, channels, h / stride, w / stride)."""
        y: Tensor = self.layers(x)
        return x + y if self.skip else y
