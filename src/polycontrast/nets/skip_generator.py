"""pix2pix's U-Net generator (Isola et al. 2017, appendix 6.1.1): 4x4 stride-2 convolutions, a skip at every level."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from polycontrast.nets.layers import OwnBatchNorm, conv, conv_transpose, init_normal, instance_norm


class SkipGenerator(nn.Module):
    """`unet_128` is seven levels, `unet_256` eight; level widths base, 2 base, 4 base, then 8 base.

    x [B, inputs, *size] -> [B, outputs, *size]; every size must be a multiple of 2**levels.
    norm: "instance" (without affine and running statistics: a slice is normalised by itself always) or "batch" (by its
    batch when training, by itself when evaluating; convolutions that it follows then have no bias). dropout: half of
    the values are dropped after each expansion between two 8 base levels, when training. tanh: end in (-1, 1);
    otherwise linear.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        levels: int = 7,
        base: int = 64,
        dims: int = 2,
        tanh: bool = True,
        norm: Literal["instance", "batch"] = "instance",
        dropout: bool = False,
    ) -> None:
        super().__init__()
        widths = [base * min(2**level, 8) for level in range(levels)]
        layer = instance_norm(dims) if norm == "instance" else OwnBatchNorm
        bias = norm == "instance"
        self.down = nn.ModuleList()
        self.up = nn.ModuleList()
        for level, width in enumerate(widths):
            below = inputs if level == 0 else widths[level - 1]
            outermost, innermost = level == 0, level == levels - 1
            contract: list[nn.Module] = [] if outermost else [nn.LeakyReLU(0.2)]
            contract.append(conv(dims)(below, width, 4, 2, 1, bias=bias))
            if not (outermost or innermost):
                contract.append(layer(width))
            wide, out = width * (1 if innermost else 2), outputs if outermost else below
            expand: list[nn.Module] = [nn.ReLU(), conv_transpose(dims)(wide, out, 4, 2, 1, bias=bias or outermost)]
            if not outermost:
                expand.append(layer(below))
            if dropout and width == below and not innermost:
                expand.append(nn.Dropout(0.5))
            self.down.append(nn.Sequential(*contract))
            self.up.append(nn.Sequential(*expand))
        self.last: Callable[[Tensor], Tensor] = torch.tanh if tanh else lambda x: x
        init_normal(self)

    def forward(self, x: Tensor) -> Tensor:
        skips = [x]
        for contract in self.down:
            skips.append(contract(skips[-1]))
        y = skips.pop()
        for level in range(len(self.up) - 1, -1, -1):
            y = self.up[level](y)
            if level > 0:
                y = torch.cat([skips.pop(), y], dim=1)
        return self.last(y)
