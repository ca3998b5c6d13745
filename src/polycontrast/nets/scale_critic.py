"""UNIT's discriminator: the same kind of patch critic at three sizes of an image (Wang et al. 2018, section 3.2)."""

from torch import Tensor, nn

from polycontrast.nets.layers import conv, init_normal


class ScaleCritic(nn.Module):
    """x [B, inputs, *size] -> a map of scores [B, 1, *size / 2**(s + levels)] for each scale s = 0, 1 ..., as a tuple.

    Each scale has a network of its own: 4x4 stride-2 convolutions of widths base, 2 base ..., LeakyReLU 0.2, no norm,
    then a 1x1 convolution; edges are reflected (recalled). Between scales the image is halved by averaging 3x3
    neighbours, those beyond the edge not counted. The edge must be at least `smallest(levels, scales)`. Initialised by
    N(0, 0.02) (recalled).
    """

    def __init__(self, inputs: int, levels: int = 4, scales: int = 3, base: int = 64, dims: int = 2) -> None:
        super().__init__()
        self.scales = nn.ModuleList(_patches(inputs, levels, base, dims) for _ in range(scales))
        self.halve = (nn.AvgPool2d if dims == 2 else nn.AvgPool3d)(3, 2, 1, count_include_pad=False)
        init_normal(self)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        scores: list[Tensor] = []
        for judge in self.scales:
            x = self.halve(x) if scores else x
            scores.append(judge(x))
        return tuple(scores)


def smallest(levels: int = 4, scales: int = 3) -> int:
    """The shortest edge of which something is left at the last level of the last scale."""
    return int(2 ** (levels + scales - 1))


def _patches(inputs: int, levels: int, base: int, dims: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    width = inputs
    for level in range(levels):
        wider = base * 2**level
        layers += [conv(dims)(width, wider, 4, 2, 1, padding_mode="reflect"), nn.LeakyReLU(0.2)]
        width = wider
    return nn.Sequential(*layers, conv(dims)(width, 1, 1))
