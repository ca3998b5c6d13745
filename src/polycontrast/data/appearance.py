"""How a contrast may look on another scanner: what is given to a system is varied so, what it is to make never is.

Parameters are drawn sample by sample from the sample's own stream, and applied to a batch on any device.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from polycontrast.data import intensity

_KNOTS = 4  # of the coil's field, along each axis
_REACH = 3.0  # SDs from the mean beyond which a tone curve goes on as a line


@dataclass(frozen=True)
class Appearance:
    """How strongly to vary each contrast by itself; 0 switches a part off.

    gain, offset: SDs of the log of a factor and of what is added, in SDs of the brain. curve: SD of the coefficients of
    a smooth tone curve, of second and third order. bias: SD of the log of a smooth field at its knots. noise: largest
    SD of white noise, in SDs of the brain. blur: largest SD of an in-plane Gaussian in pixels; thick: slices are the
    mean of themselves and their neighbours. blurred, thickened: the probabilities of these two.
    """

    gain: float = 0.05
    offset: float = 0.05
    curve: float = 0.08
    bias: float = 0.08
    noise: float = 0.15
    blur: float = 1.2
    blurred: float = 0.2
    thickened: float = 0.15


def sample(appearance: Appearance, contrasts: int, rng: np.random.Generator) -> np.ndarray:
    """Draw the parameters of one sample: [C, 7 + knots]."""
    a, normal, even = appearance, rng.standard_normal((contrasts, 4)), rng.random((contrasts, 5))
    columns = [
        np.exp(a.gain * normal[:, 0]),
        a.offset * normal[:, 1],
        a.curve * normal[:, 2],
        a.curve * normal[:, 3],
        a.noise * even[:, 0] ** 2,
        a.blur * even[:, 1] * (even[:, 2] < a.blurred),
        even[:, 3] * (even[:, 4] < a.thickened),
    ]
    return np.concatenate([np.stack(columns, 1), a.bias * rng.standard_normal((contrasts, _KNOTS**2))], axis=1)


def apply(parameters: Sequence[np.ndarray], images: Tensor, mask: Tensor, noise: Tensor) -> Tensor:
    """images [B, C, K, H, W] in normalised units, mask [B, 1, K, H, W], standard normal noise like the images -> the
    same contrasts as another scanner would show them; background stays 0. parameters: one `sample` each."""
    drawn = torch.tensor(np.stack(parameters), dtype=images.dtype, device=images.device)
    gain, offset, second, third, grain, blur, thick = (drawn[..., i].view(*images.shape[:2], 1, 1, 1) for i in range(7))
    x = _blurred(_thickened(images, thick), blur)
    z = _curved((x - intensity.MEAN) / intensity.SD, second, third) * gain + offset + grain * noise
    knots = drawn[..., 7:].unflatten(-1, (_KNOTS, _KNOTS))
    field = F.interpolate(knots, images.shape[-2:], mode="bicubic", align_corners=True)
    # A coil's field multiplies what a scanner measures; the mean of a brain is about two of its SDs, as 0.5 is of 0.25.
    return (z * intensity.SD + intensity.MEAN) * field.exp()[:, :, None] * mask


def _curved(z: Tensor, second: Tensor, third: Tensor) -> Tensor:
    """A tone curve that keeps mean and SD of what is normally distributed: Hermite polynomials are orthogonal there."""
    near = z.clamp(-_REACH, _REACH)
    bent = z + second * (near**2 - 1) / 2**0.5 + third * (near**3 - 3 * near) / 6**0.5
    return bent / (1 + second**2 + third**2).sqrt()


def _thickened(x: Tensor, share: Tensor) -> Tensor:
    """Each slice mixed with the mean of itself and its neighbours."""
    padded = F.pad(x, (0, 0, 0, 0, 1, 1), mode="replicate")
    mean = (padded[:, :, :-2] + padded[:, :, 1:-1] + padded[:, :, 2:]) / 3
    return torch.lerp(x, mean, share.expand_as(x))


def _blurred(x: Tensor, sd: Tensor) -> Tensor:
    """An in-plane Gaussian of this SD in pixels for each contrast of each sample; of 0, none."""
    at = torch.arange(-3, 4, dtype=x.dtype, device=x.device)
    kernel = torch.exp(-0.5 * (at / sd.view(-1, 1).clamp(min=0.05)) ** 2)
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(x.shape[2], 0)  # one for each plane
    planes = x.reshape(1, -1, *x.shape[-2:])
    planes = F.conv2d(planes, kernel.view(-1, 1, 7, 1), padding=(3, 0), groups=len(kernel))
    return F.conv2d(planes, kernel.view(-1, 1, 1, 7), padding=(0, 3), groups=len(kernel)).view_as(x)
