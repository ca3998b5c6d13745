"""Layers by dimension: 2-D or 3-D by one argument."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


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


class OwnBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch norm that normalises every image by itself when evaluating.

    pix2pix is published so: trained with batches of one, it uses the test image's own statistics (Isola et al. 2017,
    section 3.4), and a result that depends on the other slices of a batch is of no use. Keys are those of batch norm.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() not in (4, 5):
            raise ValueError(f"expected [B, C, *size], got {tuple(input.shape)}")

    def forward(self, input: Tensor) -> Tensor:
        if self.training:
            return super().forward(input)
        return F.instance_norm(input, weight=self.weight, bias=self.bias, eps=self.eps)


def with_planes(image: Tensor, label: Tensor) -> Tensor:
    """image [B, n, *size] and label [B, c] -> [B, n + c, *size]: each label as a constant plane."""
    planes = label.view(*label.shape, *[1] * (image.dim() - 2)).expand(-1, -1, *image.shape[2:])
    return torch.cat([image, planes.to(image.dtype)], dim=1)
