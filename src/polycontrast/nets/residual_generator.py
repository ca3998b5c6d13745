"""The generator of residual blocks (Johnson et al. 2016) as CycleGAN and StarGAN use it."""

from typing import Literal

import torch
from torch import Tensor, nn

from polycontrast.nets.layers import conv, conv_transpose, init_normal, instance_norm


class ResidualBlock(nn.Module):
    """x + norm(conv(relu(norm(conv(x))))), 3x3 convolutions."""

    def __init__(self, width: int, dims: int, padding: Literal["reflect", "zeros"], affine: bool) -> None:
        super().__init__()

        def half() -> list[nn.Module]:
            layer = conv(dims)(width, width, 3, 1, 1, padding_mode=padding, bias=not affine)
            return [layer, norm(width, dims, affine)]

        self.layers = nn.Sequential(*half(), nn.ReLU(), *half())

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.layers(x)
        return out


class ResidualGenerator(nn.Module):
    """7x7 convolution, two stride-2 convolutions, residual blocks, two transposed convolutions, 7x7 convolution.

    x [B, inputs, *size] -> [B, outputs, *size]; every size must be a multiple of 4. Widths base, 2 base, 4 base.
    style "cyclegan" (Zhu et al. 2017, appendix 7.2, `resnet_9blocks`): reflected edges, 3x3 stride-2 convolutions,
    instance norm without affine. style "stargan" (Choi et al. 2018, table 4): zero padding, without which the constant
    planes of a label would vanish under the norm; 4x4 stride-2 convolutions; instance norm with affine; no biases. (The
    released StarGAN also collects running statistics, which its own test never uses: they are left out.)
    tanh: end in (-1, 1); otherwise linear.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        blocks: int = 9,
        base: int = 64,
        dims: int = 2,
        style: Literal["cyclegan", "stargan"] = "cyclegan",
        tanh: bool = True,
    ) -> None:
        super().__init__()
        star = style == "stargan"
        padding: Literal["reflect", "zeros"] = "zeros" if star else "reflect"
        edge, extra = (4, 0) if star else (3, 1)  # extra: what a transposed 3x3 convolution adds to double a size
        layers: list[nn.Module] = [
            conv(dims)(inputs, base, 7, 1, 3, padding_mode=padding, bias=not star), norm(base, dims, star), nn.ReLU()
        ]  # fmt: skip
        for width in (base, 2 * base):
            layers += [conv(dims)(width, 2 * width, edge, 2, 1, bias=not star), norm(2 * width, dims, star), nn.ReLU()]
        layers += [ResidualBlock(4 * base, dims, padding, star) for _ in range(blocks)]
        for width in (4 * base, 2 * base):
            up = conv_transpose(dims)(width, width // 2, edge, 2, 1, output_padding=extra, bias=not star)
            layers += [up, norm(width // 2, dims, star), nn.ReLU()]
        layers.append(conv(dims)(base, outputs, 7, 1, 3, padding_mode=padding, bias=not star))
        self.layers = nn.Sequential(*layers)
        self.tanh = tanh
        if not star:  # StarGAN keeps the library's own initialisation
            init_normal(self)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return torch.tanh(out) if self.tanh else out


def norm(width: int, dims: int, affine: bool) -> nn.Module:
    """Instance norm: each image by itself, in training and synthesis alike."""
    return instance_norm(dims)(width, affine=affine)
