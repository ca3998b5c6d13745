"""Augmentation of slices: first sample the parameters, then apply them, so that any augmentation can be replayed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

_KNOTS = 6  # of a smooth field, along each axis


@dataclass(frozen=True)
class Augmentation:
    """How strongly to vary; 0 switches a part off.

    flip: probability of a left-right flip. rotate: largest angle in degrees. scale: largest relative change of size.
    shift: largest shift as a fraction of the frame. gain: SD of the log of a per-contrast gain. elastic: SD of the
    displacements at the knots of a smooth field, as a fraction of the frame.
    """

    flip: float = 0.5
    rotate: float = 8.0
    scale: float = 0.08
    shift: float = 0.03
    gain: float = 0.05
    elastic: float = 0.0


@dataclass(frozen=True)
class Transform:
    """One sampled augmentation. matrix [2, 3] maps output to input coordinates in [-1, 1]; gains per contrast; bends:
    what is added to those coordinates at `_KNOTS` x `_KNOTS` knots, second axis first, nothing if empty."""

    matrix: tuple[tuple[float, float, float], tuple[float, float, float]]
    gains: tuple[float, ...]
    bends: tuple[float, ...] = ()


def sample(augmentation: Augmentation, contrasts: int, rng: np.random.Generator) -> Transform:
    """Draw the parameters of one transform."""
    angle = math.radians(augmentation.rotate) * rng.uniform(-1, 1)
    size = 1 + augmentation.scale * rng.uniform(-1, 1)
    mirror = -1.0 if rng.random() < augmentation.flip else 1.0
    shift = augmentation.shift * 2 * rng.uniform(-1, 1, 2)
    cos, sin = size * math.cos(angle), size * math.sin(angle)
    # Rows are (second in-plane axis, first in-plane axis) = (anterior, right): the mirror acts on the last row.
    matrix = ((cos, -sin, float(shift[0])), (mirror * sin, mirror * cos, float(shift[1])))
    gains = tuple(float(g) for g in np.exp(augmentation.gain * rng.standard_normal(contrasts)))
    knots = rng.standard_normal(2 * _KNOTS**2) if augmentation.elastic else ()
    return Transform(matrix, gains, tuple(2 * augmentation.elastic * float(k) for k in knots))


def apply(transform: Transform, images: Tensor, mask: Tensor, lesion: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """images [C, K, H, W], mask [1, K, H, W] bool, lesion [L, K, H, W] bool, all moved alike.

    Images are interpolated linearly and scaled by their gains; mask and lesion keep what is at least half covered.
    Background stays 0 only in units where background is 0: apply this before mapping to a system's units.
    """
    moved = apply_all([transform], images[None], mask[None], lesion[None], "bilinear")
    return moved[0][0], moved[1][0], moved[2][0]


def apply_all(
    transforms: Sequence[Transform],
    images: Tensor,
    mask: Tensor,
    lesion: Tensor,
    mode: Literal["bilinear", "bicubic"] = "bicubic",
) -> tuple[Tensor, Tensor, Tensor]:
    """`apply` to a batch [B, ...] on any device, each sample by its own transform; bicubic keeps images sharper."""
    where = F.affine_grid(_stacked([t.matrix for t in transforms], images), [len(images), 1, *images.shape[-2:]], False)
    if bends := [t.bends for t in transforms if t.bends]:
        knots = _stacked(bends, images).view(-1, 2, _KNOTS, _KNOTS)
        bent = F.interpolate(knots, images.shape[-2:], mode="bicubic", align_corners=True)
        where = where + bent.permute(0, 2, 3, 1)
    regions = torch.cat([mask, lesion], dim=1).to(images.dtype)
    moved = F.grid_sample(images.flatten(1, 2), where, mode, align_corners=False).view_as(images)
    inside = F.grid_sample(regions.flatten(1, 2), where, align_corners=False).view_as(regions) >= 0.5
    gains = _stacked([t.gains for t in transforms], images).view(*images.shape[:2], 1, 1, 1)
    n = mask.shape[1]
    return moved * gains * inside[:, :n], inside[:, :n], inside[:, n:]


def _stacked(values: Sequence[object], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device)
