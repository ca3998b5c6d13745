"""pix2pix's U-Net generator (Isola et al. 2017, appendix 6.1.1): 4x4 stride-2 convolutions, a skip at every level."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from polycontrast.nets.layers import conv, conv_transpose, init_normal, instance_norm


class SkipGenerator(nn.Module):
    """`unet_128` is seven levels, `unet_256` eight; level widths base, 2 base, 4 base, then 8 base.

    x [B, inputs, *size] -> [B, outputs, *size]; every size must be a multiple of 2**levels. Instance norm without
    affine and without running statistics: a slice is normalised by itself in training and synthesis alike.
    tanh: end in (-1, 1); otherwise linear.
    """

    def __init__(
        self, inputs: int, outputs: int, levels: int = 7, base: int = 64, dims: int = 2, tanh: bool = True
    ) -> None:
        super().__init__()
        self.multiple = 2**levels
        widths = [base * min(2**level, 8) for level in range(levels)]
        norm = instance_norm(dims)
        self.down = nn.ModuleList()
        self.up = nn.ModuleList()
        for level, width in enumerate(widths):
            below = inputs if level == 0 else widths[level - 1]
            outermost, innermost = level == 0, level == levels - 1
            contract: list[nn.Module] = [] if outermost else [nn.LeakyReLU(0.2)]
            contract.append(conv(dims)(below, width, 4, 2, 1))
            if not (outermost or innermost):
                contract.append(norm(width))
            expand: list[nn.Module] = [nn.ReLU()]
            expand.append(
                conv_transpose(dims)(width * (1 if innermost else 2), outputs if outermost else below, 4, 2, 1)
            )
            if not outermost:
                expand.append(norm(below))
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
