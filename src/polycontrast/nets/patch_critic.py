"""pix2pix's patch discriminator (Isola et al. 2017, appendix 6.1.2): three stride-2 levels see 70 x 70 pixels."""

from typing import Literal

from torch import Tensor, nn

from polycontrast.nets.layers import OwnBatchNorm, conv, init_normal, instance_norm


class PatchCritic(nn.Module):
    """x [B, inputs, *size] -> scores [B, 1, ...], one per patch of 16, 34, 70 ... pixels (levels 1, 2, 3).

    4x4 convolutions, LeakyReLU 0.2, widths base, 2 base ... at most 8 base; the last two have stride 1. No norm after
    the first and the last. norm as in `SkipGenerator`. The edge must be at least `smallest(levels)`.
    """

    def __init__(
        self,
        inputs: int,
        levels: int = 3,
        base: int = 64,
        dims: int = 2,
        norm: Literal["instance", "batch"] = "batch",
    ) -> None:
        super().__init__()
        layer = instance_norm(dims) if norm == "instance" else OwnBatchNorm
        layers: list[nn.Module] = [conv(dims)(inputs, base, 4, 2, 1), nn.LeakyReLU(0.2)]
        width = base
        for level in range(1, levels + 1):
            wider, stride = base * min(2**level, 8), 2 if level < levels else 1
            layers += [conv(dims)(width, wider, 4, stride, 1, bias=norm == "instance"), layer(wider), nn.LeakyReLU(0.2)]
            width = wider
        self.layers = nn.Sequential(*layers, conv(dims)(width, 1, 4, 1, 1))
        init_normal(self)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out


def smallest(levels: int = 3) -> int:
    """The shortest edge of which a score is left: halved at each level, then twice a pixel shorter."""
    return int(3 * 2**levels)
