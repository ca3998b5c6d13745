"""DiscoGAN's generator and discriminator (Kim et al. 2017), as released; initialised by the library's default."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from polycontrast.nets.layers import batch_norm, conv, conv_transpose


class DiscoGenerator(nn.Module):
    """x [B, inputs, *size] -> [B, outputs, *size]; every size must be a multiple of 16.

    Four 4x4 stride-2 convolutions to base, 2, 4, 8 base and four transposed ones back; no biases, no skips. Batch norm
    (not after the first and the last; batch statistics in training, running ones in evaluation), LeakyReLU 0.2 on the
    way down, ReLU on the way up. tanh: end in (-1, 1) by 2 sigmoid(x) - 1 = tanh(x / 2), which is the paper's sigmoid
    for images in [0, 1]; otherwise linear.
    """

    def __init__(self, inputs: int, outputs: int, base: int = 64, dims: int = 2, tanh: bool = True) -> None:
        super().__init__()
        widths = [base, 2 * base, 4 * base, 8 * base]
        self.down = nn.Sequential(_first(inputs, base, dims), *(_down(i, o, dims) for i, o in pairwise(widths)))
        self.up = nn.Sequential(*(_up(i, o, dims) for i, o in pairwise(reversed(widths))))
        self.last = conv_transpose(dims)(base, outputs, 4, 2, 1, bias=False)
        self.tanh = tanh

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(self.up(self.down(x)))
        return torch.tanh(out / 2) if self.tanh else out


class DiscoCritic(nn.Module):
    """x [B, inputs, *size] -> logits [B, 1, ...] and the features of layers 2, 3 and 4.

    Four 4x4 stride-2 convolutions to base, 2, 4, 8 base and a 4x4 one without padding; no biases; batch norm from the
    second to the fourth, LeakyReLU 0.2. The published size, 64, leaves one score. At any larger multiple of 16 the same
    layers give one for each window of 64 pixels in steps of 16: size / 16 - 3 along each side.
    """

    def __init__(self, inputs: int, base: int = 64, dims: int = 2) -> None:
        super().__init__()
        self.first = _first(inputs, base, dims)
        self.middle = nn.ModuleList(_down(width, 2 * width, dims) for width in (base, 2 * base, 4 * base))
        self.last = conv(dims)(8 * base, 1, 4, bias=False)

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        x = self.first(x)
        features = []
        for layer in self.middle:
            x = layer(x)
            features.append(x)
        return self.last(x), tuple(features)


def _first(inputs: int, width: int, dims: int) -> nn.Module:
    return nn.Sequential(conv(dims)(inputs, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2))


def _down(inputs: int, width: int, dims: int) -> nn.Module:
    return nn.Sequential(conv(dims)(inputs, width, 4, 2, 1, bias=False), batch_norm(dims)(width), nn.LeakyReLU(0.2))


def _up(inputs: int, width: int, dims: int) -> nn.Module:
    return nn.Sequential(conv_transpose(dims)(inputs, width, 4, 2, 1, bias=False), batch_norm(dims)(width), nn.ReLU())
