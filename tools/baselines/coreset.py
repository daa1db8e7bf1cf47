"""The greedy k-centre coreset of PatchCore (Roth et al., CVPR 2022, Algorithm 1)."""

from __future__ import annotations

import torch
from torch import Tensor

from tools.baselines.maps import Progress


def projected(points: Tensor, dimensions: int, *, generator: torch.Generator) -> Tensor:
    """Random projection (N, D) -> (N, dimensions) that keeps distances in the mean (Johnson-Lindenstrauss).

    Points of no more dimensions than that come back as they are.
    """
    if points.shape[1] <= dimensions:
        return points
    basis: Tensor = torch.randn(points.shape[1], dimensions, generator=generator) / dimensions**0.5
    return points @ basis


def greedy_k_centre(points: Tensor, count: int, *, first: int, progress: Progress) -> Tensor:
    """Indices (count,) int64 of points, each the farthest one from those before it.

    One product of the matrix (N, D) with a vector a pick, and no distance between pairs is kept.

    Args:
        points: (N, D) float32.
        count: how many to pick, 1..N.
        first: index of the first pick.
        progress: told about every hundredth pick.
    """
    norms = points.square().sum(dim=1)
    nearest = torch.full_like(norms, torch.inf)  # squared distance to the nearest pick
    picks = [first]
    while len(picks) < count:
        last = picks[-1]
        torch.minimum(nearest, torch.addmv(norms + norms[last], points, points[last], alpha=-2), out=nearest)
        nearest[last] = -torch.inf  # never again, also where all that is left are copies
        picks.append(int(nearest.argmax()))
        if len(picks) % 100 == 0 or len(picks) == count:
            progress(len(picks), count)
    return torch.tensor(picks)
