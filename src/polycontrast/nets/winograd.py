"""A 3x3 convolution that a CPU may compute with fewer multiplications."""

import torch
from torch import Tensor, nn


class WinogradConv(nn.Conv2d):
    """A 3x3 convolution of stride 1 and padding 1, whose parameters are those of nn.Conv2d.

    Of one image, in float32, without gradients, in a thread that computes alone, it is done by NNPACK: Winograd's
    F(6x6, 3x3) or fast Fourier transforms of tiles (Lavin and Gray, CVPR 2016, sections 4 and 5), 2.7 times as fast
    with AVX2 as oneDNN's direct one, and equal to it to four digits. With several threads NNPACK's would wait for
    those of OpenMP, which go on spinning for milliseconds after each operation: that takes back most of it.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        if not _suits(x) or self.weight.dtype != torch.float32:
            return super().forward(x)
        return torch._nnpack_spatial_convolution(x, self.weight, self.bias, self.padding, self.stride)  # type: ignore[arg-type]


def _suits(x: Tensor) -> bool:
    return (
        len(x) == 1
        and x.device.type == "cpu"
        and x.dtype == torch.float32
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
        and torch.get_num_threads() == 1
        and torch.backends.nnpack.is_available()  # which sets it up, too
    )
