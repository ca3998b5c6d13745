"""Losses as plain functions, each citing its equation. All compute in float32 (or wider) and return a scalar.

B is the batch; "sum per image, mean over the batch" is what makes ranks of equal share average to one process.
"""

import math
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


def weighted(values: Tensor, weight: Tensor) -> Tensor:
    """The mean of values, each counted by its weight; 0 where there is no weight at all. Over the whole batch: ranks
    whose shares weigh differently do not average to one process (nor in `laplace` and `ssim_loss`)."""
    return (values * weight).sum() / weight.sum().clamp(min=1.0)


def laplace(mean: Tensor, log_scale: Tensor, truth: Tensor, weight: Tensor, beta: float = 0.0) -> Tensor:
    """-log of the Laplace density of truth, voxel by voxel, times b^beta, which is held constant, and its mean by
    weight (Seitzer et al. 2022, equation 5, with |x - m| / b + log 2b as the likelihood). beta 0: the likelihood;
    beta 1: the mean learns as by L1."""
    b = log_scale.exp()
    values = (truth - mean).abs() / b + log_scale + math.log(2)
    return weighted(values * b.detach() ** beta, weight)


def ssim_loss(image: Tensor, truth: Tensor, weight: Tensor, window: int = 7, span: float = 1.0) -> Tensor:
    """1 - SSIM (Wang et al. 2004, equation 13) of [B, ..., H, W], in square windows of the last two axes, mean by the
    weight at the window's centre. window: their edge, odd. span: the data range, 1 in normalised units."""
    rows, columns = (_windows(n, window, image) for n in image.shape[-2:])

    def local(t: Tensor) -> Tensor:
        return rows @ t @ columns.T

    centre = truth.mean()  # variances do not depend on it, and their differences of squares keep more digits so
    x, y = image - centre, truth - centre
    mx, my = local(x), local(y)
    vx, vy, vxy = local(x * x) - mx**2, local(y * y) - my**2, local(x * y) - mx * my
    mx, my = mx + centre, my + centre
    c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2
    ssim = (2 * mx * my + c1) * (2 * vxy + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    return weighted(1 - ssim, weight)


def _windows(n: int, window: int, like: Tensor) -> Tensor:
    """[n, n]: row i times a vector is the vector's mean in the window at i, cut off at the ends."""
    near = torch.ones(n, n, dtype=like.dtype, device=like.device).tril(window // 2).triu(-(window // 2))
    return near / near.sum(1, keepdim=True)


def relativistic(lower: Sequence[Tensor], higher: Sequence[Tensor]) -> Tensor:
    """E[softplus(D(higher) - D(lower))], patch by patch, mean over the critic's maps (Jolicoeur-Martineau 2019; R3GAN,
    equation 2): who minimises it raises the scores of `lower` above those of `higher`. The critic passes (real,
    fake), the generator (fake, real)."""
    return torch.stack([F.softplus(h - s).mean() for s, h in zip(lower, higher, strict=True)]).mean()


def zero_centred_penalty(critic: Callable[[Tensor], Sequence[Tensor]], images: Tensor) -> Tensor:
    """E|grad D(x)|^2 at x = images (Mescheder et al. 2018, R1 and R2; R3GAN, equation 3), of the sum of a map's scores
    and divided by their number, so that a patch counts as an image does there; mean over the critic's maps."""
    x = images.detach().requires_grad_(True)
    penalties = []
    for scores in critic(x):
        (slope,) = torch.autograd.grad(scores.sum(), x, create_graph=True)
        penalties.append(slope.square().sum() / scores.numel())
    return torch.stack(penalties).mean()
