"""Losses as plain functions, each citing its equation. All compute in float32 (or wider) and return a scalar.

B is the batch; "sum per image, mean over the batch" is what makes ranks of equal share average to one process.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor


def critic_score(score: Tensor) -> Tensor:
    """E[sum D(x)]: the critic map [B, 1, ...] summed per image, mean over the batch (TC-MGAN, equation 1)."""
    return score.flatten(1).sum(1).mean()


def gradient_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, mix: Tensor) -> Tensor:
    """E[(|grad D(x)|_2 - 1)^2] at x = mix * real + (1 - mix) * fake (Gulrajani et al. 2017, equation 3).

    critic: images -> critic map; mix [B] in [0, 1]. The norm is over all pixels of an image. Double backward runs
    through this, in the precision of `real`: call it outside autocast.
    """
    weight = mix.to(real.dtype).view(-1, *[1] * (real.dim() - 1))
    x = (weight * real + (1 - weight) * fake).detach().requires_grad_(True)
    (slope,) = torch.autograd.grad(critic(x).sum(), x, create_graph=True)
    penalty: Tensor = ((slope.flatten(1).norm(dim=1) - 1) ** 2).mean()
    return penalty


def classification(logits: Tensor, label: Tensor) -> Tensor:
    """Binary cross-entropy of [B, c] logits, summed over classes, mean over the batch (StarGAN, equations 2 and 3)."""
    return F.binary_cross_entropy_with_logits(logits, label.to(logits.dtype), reduction="sum") / logits.shape[0]


def l1_sum(image: Tensor, truth: Tensor) -> Tensor:
    """E[sum |x - y|]: absolute error summed over an image's pixels, mean over the batch (TC-MGAN, equation 3)."""
    return (image - truth).abs().flatten(1).sum(1).mean()


def dice_loss(probability: Tensor, truth: Tensor, smooth: float = 1.0) -> Tensor:
    """1 - (2 sum(p t) + s) / (sum p + sum t + s) per image, mean over the batch (TC-MGAN, equation 4).

    An empty truth predicted empty scores 0 (a Dice of 1) because of the smoothing.
    """
    p, t = probability.flatten(1), truth.to(probability.dtype).flatten(1)
    overlap = (2 * (p * t).sum(1) + smooth) / (p.sum(1) + t.sum(1) + smooth)
    return (1 - overlap).mean()
