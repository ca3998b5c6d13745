"""A 3x3 convolution that a CPU may compute with fewer multiplications."""

import torch
from torch import Tensor, nn


class WinogradConv(nn.Conv2d):
    """A 3x3 convolution of stride 1 and padding 1, whose parameters are those of nn.Conv2d.

    Of one image, in float32, without gradients, in a thread that computes alone, NNPACK does it by Winograd's
    F(6x6, 3x3) (Lavin and Gray, CVPR 2016, section 4): equal to the direct one to four digits, in less than half of
    the time (benchmarks/alone.py). Where threads share operations it would wait for OpenMP's, which go on spinning for
    milliseconds after theirs. `torch.backends.nnpack.set_flags(False)` turns it off.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, padding=1)

    def forward(self, x: Tensor, inputs: Tensor | None = None) -> Tensor:
        """inputs: which of them x holds (bool), if it leaves out some that are 0."""
        weight = self.weight if inputs is None else self.weight[:, inputs]
        if not self._suits(x):
            return nn.functional.conv2d(x, weight, self.bias, padding=1)
        made: Tensor = torch._nnpack_spatial_convolution(x, weight, self.bias, (1, 1))
        return made

    def _suits(self, x: Tensor) -> bool:
        return (
            len(x) == 1
            and x.device.type == "cpu"
            and x.dtype == self.weight.dtype == torch.float32
            and not torch.is_grad_enabled()
            and not torch.is_autocast_enabled("cpu")
            and torch.get_num_threads() == 1
            and hasattr(torch, "_nnpack_spatial_convolution")  # a private function: a later torch may lack it
            and torch._C._get_nnpack_enabled()
            and torch.backends.nnpack.is_available()  # which sets it up, too
        )
