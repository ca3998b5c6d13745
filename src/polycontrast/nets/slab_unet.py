"""A residual U-Net without norm layers, which works on blocks of 2 x 2 pixels and ends at full resolution."""

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from polycontrast.nets.winograd import WinogradConv

_SMALL = 0.2  # of the initial weights at the end of a residual branch: a deep network starts near the identity
_HEAD = 32  # channels at full resolution


class ScaledBlock(nn.Module):
    """x + conv(relu(conv(relu(x)))), 3x3 convolutions, the last one's initial weights made small."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = (WinogradConv(width, width) for _ in range(2))
        for layer, scale in ((self.first, 1.0), (self.second, _SMALL)):
            init_scaled(layer, scale)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.second(torch.relu_(self.first(torch.relu(x))))
        return out.add_(x)


class SlabUnet(nn.Module):
    """x [B, inputs, H, W] -> [B, outputs, H, W] in the weights' precision, under autocast too; H and W must be
    multiples of 2**len(widths).

    widths, blocks: channels and residual blocks (on the way down, and again on the way up) of each level; the first
    level sees blocks of 2 x 2 pixels as one, so that no convolution of few channels runs at full resolution, which is
    where a CPU is slow. Halved and doubled by 2x2 and 1x1 convolutions; skips are added. The last two convolutions see
    full resolution and the input again.

    There is no norm: instance norm would tie a voxel's value to the size of the image and to its own slice, costs a
    third of a CPU's time and blocks the channels-last layout.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        widths: Sequence[int],
        blocks: Sequence[int],
    ) -> None:
        super().__init__()
        self.stem = WinogradConv(4 * inputs, widths[0])
        self.down = nn.ModuleList(_stage(width, n) for width, n in zip(widths, blocks, strict=True))
        self.shrink = nn.ModuleList(nn.Conv2d(a, b, 2, 2) for a, b in itertools.pairwise(widths))
        self.grow = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in itertools.pairwise(widths))
        self.up = nn.ModuleList(_stage(width, n) for width, n in zip(widths[:-1], blocks, strict=False))
        self.spread = nn.Conv2d(widths[0], 4 * _HEAD, 1)
        self.head = WinogradConv(_HEAD + inputs, _HEAD)
        self.last = WinogradConv(_HEAD, outputs)
        for layer in (self.stem, *self.shrink, *self.grow, self.spread, self.head):
            init_scaled(layer)
        init_scaled(self.last, _SMALL)

    def forward(self, x: Tensor) -> Tensor:
        x, held = _without_zeros(x)
        y = self.stem(nn.functional.pixel_unshuffle(x, 2), None if held is None else held.repeat_interleave(4))
        skips = []
        for level, stage in enumerate(self.down):
            y = stage(y)
            if level < len(self.shrink):
                skips.append(y)
                y = self.shrink[level](y)
        for level in range(len(self.up) - 1, -1, -1):
            y = nn.functional.interpolate(self.grow[level](y), scale_factor=2.0, mode="nearest")
            y = self.up[level](y.add_(skips[level]))
        y = nn.functional.pixel_shuffle(self.spread(torch.relu_(y)), 2)
        both = None if held is None else nn.functional.pad(held, (_HEAD, 0), value=True)
        y = torch.relu_(self.head(torch.cat([y, x.to(y.dtype)], dim=1), both))
        with torch.autocast(y.device.type, enabled=False):  # bfloat16 would round an intensity to three digits
            out: Tensor = self.last(y.to(self.last.weight.dtype))
        return out


def _without_zeros(x: Tensor) -> tuple[Tensor, Tensor | None]:
    """x without the channels that are 0 everywhere, as those of absent contrasts are, and which it holds, [C] bool.

    All, and None, where it would save nothing: gradients ask for all, a GPU would wait for the answer, and bfloat16's
    layout would be lost.
    """
    if x.device.type != "cpu" or torch.is_grad_enabled() or torch.is_autocast_enabled("cpu"):
        return x, None
    held = x.flatten(2).any(dim=2).any(dim=0)
    return (x[:, held], held) if held.any() and not held.all() else (x, None)


def init_scaled(layer: nn.Module, scale: float = 1.0) -> None:
    """He et al. 2015, equation 10, times `scale`; zero biases."""
    assert isinstance(layer, nn.Conv2d)
    assert layer.bias is not None
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    nn.init.zeros_(layer.bias)
    with torch.no_grad():
        layer.weight.mul_(scale)


def _stage(width: int, blocks: int) -> nn.Sequential:
    return nn.Sequential(*(ScaledBlock(width) for _ in range(blocks)))
