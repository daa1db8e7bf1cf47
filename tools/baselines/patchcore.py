"""PatchCore: distance to the nearest patch of a memory of good ones.

Roth, Pemula, Zepeda, Schoelkopf, Brox, Gehler, "Towards Total Recall in Industrial Anomaly Detection", CVPR
2022, arXiv 2106.08265. As published: patches averaged over 3x3, taps joined bilinearly, greedy
coreset of 10 % chosen after a random projection to 128 dimensions, image score re-weighted by equation 7,
Gaussian of sigma 4; b = 9 neighbours in equation 7 as in anomalib. Ours: the backbone, no pooling of channels
to 1024 (there are 152), and for speed on a CPU the coreset is chosen from at most `max_patches` patches drawn
at random, of which it has 10 %. The distance that decides is exact and in all dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import torch
from torch import Tensor

from tools.baselines.coreset import greedy_k_centre, projected
from tools.baselines.maps import AnomalyScores, Features, Progress, concatenated, enlarged, hr_size, smoothed

_IMAGES = 16  # joined at a time while the memory is drawn
_PATCHES = 1024  # compared with the memory at a time: (1024, 10000) float32 are 40 MB


class PatchCoreSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of the paper, and the limit that lets a CPU choose the coreset in a minute or two."""

    coreset: float = 0.1
    max_patches: int = 100_000
    projection: int = 128
    neighbours: int = 9
    sigma_px: float = 4.0


class PatchCore:
    """A memory (M, D) float32 of good patches."""

    def __init__(self, taps: Sequence[int], memory: Tensor, settings: PatchCoreSettings) -> None:
        self.taps, self.memory, self.settings = tuple(taps), memory, settings
        self.norms = memory.square().sum(dim=1)

    @classmethod
    @torch.inference_mode()
    def fit(
        cls,
        features: Features,
        taps: Sequence[int],
        settings: PatchCoreSettings,
        *,
        seed: int,
        progress: Progress,
    ) -> PatchCore:
        """Learn from features of good parts; the seed draws patches, projection and the first pick.

        Raises:
            CalibrationError: a tap is missing.
        """
        generator = torch.Generator().manual_seed(seed)
        patches = _drawn(features, taps, settings.max_patches, generator)
        count = max(1, round(len(patches) * settings.coreset))
        points = projected(patches, settings.projection, generator=generator)
        first = int(torch.randint(len(patches), (1,), generator=generator))
        picks = greedy_k_centre(points, count, first=first, progress=progress)
        return cls(taps, patches[picks], settings)

    @torch.inference_mode()
    def nearest(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        """Distance (N,) float32 of patches (N, D) to their nearest one in the memory, and its index (N,)."""
        found = torch.cat(
            [
                torch.addmm(self.norms, part, self.memory.T, alpha=-2).argmin(1)
                for part in torch.split(patches, _PATCHES)
            ]
        )
        # Anew from the difference: |x|^2 + |m|^2 - 2 x m loses its digits where the distance is small.
        return torch.linalg.vector_norm(patches - self.memory[found], dim=1), found

    @torch.inference_mode()
    def image_score(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        """Distances (N,) of one image's patches (N, D) and its score (), by equation 7.

        s* is the largest distance, of patch x to m in the memory; the score is (1 - w) s*, where w is
        exp |x - m| over the sum of exp |x - n| for the b neighbours n of m in the memory, m being the first.
        """
        distances, found = self.nearest(patches)
        worst = int(distances.argmax())
        member = self.memory[found[worst]]
        to_member = torch.linalg.vector_norm(self.memory - member, dim=1)
        to_member[found[worst]] = -1.0  # first also where the memory holds copies of it
        neighbours = to_member.topk(min(self.settings.neighbours, len(self.memory)), largest=False).indices
        to_neighbours = torch.linalg.vector_norm(self.memory[neighbours] - patches[worst], dim=1)
        return distances, (1 - torch.softmax(to_neighbours, dim=0)[0]) * distances[worst]

    @torch.inference_mode()
    def score(self, features: Features) -> AnomalyScores:
        """Anomaly maps and image scores of the images whose features these are."""
        x = concatenated(features, self.taps, mode="bilinear", mean_px=3)
        pairs = [self.image_score(patches) for patches in x.flatten(2).mT]
        distances = torch.stack([d for d, _ in pairs]).reshape(len(x), *x.shape[-2:])
        maps = smoothed(enlarged(distances, hr_size(features)).numpy(), self.settings.sigma_px)
        return AnomalyScores(maps, torch.stack([score for _, score in pairs]).numpy())


def _drawn(features: Features, taps: Sequence[int], limit: int, generator: torch.Generator) -> Tensor:
    """At most `limit` patches of all images, drawn without return: (N, D)."""
    images, positions = len(features[min(taps)]), features[min(taps)][0, 0].numel()
    order = torch.randperm(images * positions, generator=generator)
    chosen = order[:limit].sort().values
    kept = []
    for start in range(0, images, _IMAGES):
        some = {tap: features[tap][start : start + _IMAGES] for tap in taps}
        x = concatenated(some, taps, mode="bilinear", mean_px=3)
        begin, end = start * positions, (start + len(x)) * positions
        here = chosen[(chosen >= begin) & (chosen < end)] - begin
        kept.append(x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])[here])
    return torch.cat(kept)
