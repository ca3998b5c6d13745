"""TC-MGAN's segmenter: a small U-Net of stride-2 3x3 convolutions with batch norm, one logit map out."""

import torch
from torch import Tensor, nn

from polycontrast.nets.layers import batch_norm, conv, conv_transpose


class TumourSegmenter(nn.Module):
    """x [B, inputs, *size] -> lesion probability [B, 1, *size]; every size must be a multiple of 16.

    Batch norm uses batch statistics in training and running statistics in evaluation.
    """

    def __init__(self, inputs: int, base: int = 64, dims: int = 2) -> None:
        super().__init__()
        a, b, c, d = base, 2 * base, 4 * base, 8 * base

        def down(i: int, o: int) -> nn.Module:
            return nn.Sequential(conv(dims)(i, o, 3, 2, 1), batch_norm(dims)(o), nn.ReLU())

        def up(i: int, o: int) -> nn.Module:
            return nn.Sequential(conv_transpose(dims)(i, o, 3, 2, 1, 1), batch_norm(dims)(o), nn.ReLU())

        self.down = nn.ModuleList([down(inputs, a), down(a, b), down(b, c), down(c, d)])
        self.up = nn.ModuleList([up(d, d), up(d + c, c), up(c + b, b)])
        self.last = conv_transpose(dims)(b + a, 1, 3, 2, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        skips: list[Tensor] = []
        for layer in self.down:
            x = layer(x)
            skips.append(x)
        y = skips.pop()
        for layer in self.up:
            y = torch.cat([layer(y), skips.pop()], dim=1)
        return torch.sigmoid(self.last(y))
