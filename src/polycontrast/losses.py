"""Losses as plain functions, each citing its equation. All compute in float32 (or wider) and return a scalar.

B is the batch; "sum per image, mean over the batch" is what makes ranks of equal share average to one process.
"""

from collections.abc import Callable, Sequence

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


def cross_entropy(logits: Tensor, label: Tensor) -> Tensor:
    """Cross-entropy of [B, c] logits against one-hot labels (StarGAN on RaFD: the classes exclude each other)."""
    return F.cross_entropy(logits, label.argmax(1))


def l1(image: Tensor, truth: Tensor) -> Tensor:
    """E[|x - y|], mean over pixels and batch (pix2pix, equation 3; CycleGAN, equation 2)."""
    return F.l1_loss(image, truth)


def l2(image: Tensor, truth: Tensor) -> Tensor:
    """E[(x - y)^2], mean over pixels and batch (DiscoGAN, equation 3)."""
    return F.mse_loss(image, truth)


def real_or_fake(score: Tensor, real: bool) -> Tensor:
    """Binary cross-entropy of a map of logits against all real or all fake (Goodfellow et al. 2014, equation 1; the
    generator minimises `real_or_fake(D(fake), True)`, the form that does not saturate)."""
    return F.binary_cross_entropy_with_logits(score, torch.full_like(score, float(real)))


def least_squares(score: Tensor, real: bool) -> Tensor:
    """E[(D(x) - t)^2], t = 1 for real, 0 for fake (Mao et al. 2017; CycleGAN, section 4)."""
    return ((score - float(real)) ** 2).mean()


def feature_matching(fake: Sequence[Tensor], real: Sequence[Tensor]) -> Tensor:
    """Squared distance of the batches' mean features [B, ...], summed over layers (Salimans et al. 2016, section 3.1).

    A layer's is averaged over its features, as DiscoGAN does, where Salimans et al. sum: layers weigh alike.
    """
    return torch.stack([((f.mean(0) - r.mean(0)) ** 2).mean() for f, r in zip(fake, real, strict=True)]).sum()


def unit_variance_kl(mean: Tensor) -> Tensor:
    """E[mean^2], averaged over all elements: twice KL(N(mean, I) || N(0, I)) per element of the latent, the KL
    divergence being half the sum of mean^2 (UNIT, equation 3, in the scale of its released weights)."""
    return (mean**2).mean()
