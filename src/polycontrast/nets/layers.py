"""Layers by dimension: 2-D or 3-D by one argument."""

from torch import nn


def conv(dims: int) -> type[nn.Conv2d] | type[nn.Conv3d]:
    """The convolution of 2 or 3 dimensions."""
    return nn.Conv2d if dims == 2 else nn.Conv3d


def conv_transpose(dims: int) -> type[nn.ConvTranspose2d] | type[nn.ConvTranspose3d]:
    """The transposed convolution of 2 or 3 dimensions."""
    return nn.ConvTranspose2d if dims == 2 else nn.ConvTranspose3d


def batch_norm(dims: int) -> type[nn.BatchNorm2d] | type[nn.BatchNorm3d]:
    """The batch norm of 2 or 3 dimensions."""
    return nn.BatchNorm2d if dims == 2 else nn.BatchNorm3d


def instance_norm(dims: int) -> type[nn.InstanceNorm2d] | type[nn.InstanceNorm3d]:
    """The instance norm of 2 or 3 dimensions."""
    return nn.InstanceNorm2d if dims == 2 else nn.InstanceNorm3d


def init_normal(module: nn.Module, sd: float = 0.02) -> None:
    """N(0, sd) for every convolution and N(1, sd) for every affine norm, zero biases (DCGAN, pix2pix)."""
    for layer in module.modules():
        if isinstance(layer, nn.modules.conv._ConvNd):
            nn.init.normal_(layer.weight, 0.0, sd)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.modules.batchnorm._BatchNorm):
            nn.init.normal_(layer.weight, 1.0, sd)
            nn.init.zeros_(layer.bias)
