"""StarGAN's discriminator (Choi et al. 2018, table 5): one trunk, a critic map and a class head, no norm."""

from torch import Tensor, nn

from polycontrast.nets.layers import conv


class StarCritic(nn.Module):
    """x [B, inputs, *size] -> critic map [B, 1, size / 2**levels ...], class logits [B, classes].

    `size` is the edge of the (square) input: the class head spans what is left of it. Initialised by the library's
    default, as released.
    """

    def __init__(self, inputs: int, classes: int, size: int, levels: int = 5, base: int = 64, dims: int = 2) -> None:
        super().__init__()
        trunk: list[nn.Module] = []
        width = inputs
        for level in range(levels):
            trunk += [conv(dims)(width, base * 2**level, 4, 2, 1), nn.LeakyReLU(0.01)]
            width = base * 2**level
        self.trunk = nn.Sequential(*trunk)
        self.critic = conv(dims)(width, 1, 3, 1, 1, bias=False)
        self.classes = conv(dims)(width, classes, size // 2**levels, bias=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.trunk(x)
        return self.critic(features), self.classes(features).flatten(1)
