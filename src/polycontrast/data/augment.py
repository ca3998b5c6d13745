"""Augmentation of slices: first sample the parameters, then apply them, so that any augmentation can be replayed."""

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Augmentation:
    """How strongly to vary; 0 switches a part off.

    flip: probability of a left-right flip. rotate: largest angle in degrees. scale: largest relative change of size.
    shift: largest shift as a fraction of the frame. gain: SD of the log of a per-contrast gain.
    """

    flip: float = 0.5
    rotate: float = 8.0
    scale: float = 0.08
    shift: float = 0.03
    gain: float = 0.05


@dataclass(frozen=True)
class Transform:
    """One sampled augmentation. matrix [2, 3] maps output to input coordinates in [-1, 1]; gains per contrast."""

    matrix: tuple[tuple[float, float, float], tuple[float, float, float]]
    gains: tuple[float, ...]


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
    return Transform(matrix, gains)


def apply(transform: Transform, images: Tensor, mask: Tensor, lesion: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """images [C, K, H, W], mask [1, K, H, W] bool, lesion [L, K, H, W] bool, all moved alike.

    Images are interpolated linearly and scaled by their gains; mask and lesion keep what is at least half covered.
    Background stays 0 only in units where background is 0: apply this before mapping to a system's units.
    """
    theta = torch.tensor(transform.matrix, dtype=torch.float32)
    stack = torch.cat([images, mask.float(), lesion.float()]).transpose(0, 1)  # [K, C + 1 + L, H, W]
    where = F.affine_grid(theta.expand(stack.shape[0], 2, 3), list(stack.shape), align_corners=False)
    moved = F.grid_sample(stack, where, align_corners=False).transpose(0, 1)
    c = images.shape[0]
    gains = torch.tensor(transform.gains, dtype=torch.float32).view(-1, 1, 1, 1)
    moved_mask = moved[c : c + 1] >= 0.5
    return moved[:c] * gains * moved_mask, moved_mask, moved[c + 1 :] >= 0.5
