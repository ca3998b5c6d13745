"""UNIT's two autoencoders, which meet in one latent space (Liu, Breuel, Kautz 2017, section 2 and figure 1)."""

from torch import nn

from polycontrast.nets.layers import conv, instance_norm
from polycontrast.nets.residual_generator import ResidualBlock


class TwinAutoencoder(nn.Module):
    """Encoders and decoders of the domains a and b, with the blocks that both share held once.

    To encode, run `encoder_a` (or `_b`), then `shared_encoder`: [B, channels, *size] -> [B, 4 base, *size / 4], the
    mean of the posterior. To decode, run `shared_decoder`, then `decoder_a` (or `_b`). Every size must be a multiple of
    4 and at least 8. `blocks` residual blocks lie on either side of the latent space. tied: the last block of the
    encoders is one and the same, and so is the first of the decoders; otherwise each domain has its own, and the shared
    parts do nothing. tanh: decode to (-1, 1); otherwise linearly.
    """

    def __init__(
        self, channels: int, blocks: int = 4, base: int = 64, dims: int = 2, tied: bool = True, tanh: bool = True
    ) -> None:
        super().__init__()
        own = blocks - 1 if tied else blocks
        self.encoder_a, self.encoder_b = (encoder(channels, own, base, dims) for _ in "ab")
        self.decoder_a, self.decoder_b = (decoder(channels, own, base, dims, tanh) for _ in "ab")
        self.shared_encoder, self.shared_decoder = (_block(base, dims) if tied else nn.Identity() for _ in range(2))
        init_he(self)


def encoder(channels: int, blocks: int, base: int, dims: int) -> nn.Sequential:
    """7x7 convolution, two 4x4 stride-2 convolutions, residual blocks; instance norm, ReLU and reflected edges."""
    layers: list[nn.Module] = [
        conv(dims)(channels, base, 7, 1, 3, padding_mode="reflect"), instance_norm(dims)(base), nn.ReLU()
    ]  # fmt: skip
    for width in (base, 2 * base):
        down = conv(dims)(width, 2 * width, 4, 2, 1, padding_mode="reflect")
        layers += [down, instance_norm(dims)(2 * width), nn.ReLU()]
    return nn.Sequential(*layers, *(_block(base, dims) for _ in range(blocks)))


def decoder(channels: int, blocks: int, base: int, dims: int, tanh: bool) -> nn.Sequential:
    """The encoder mirrored: residual blocks, twice doubled in size, 7x7 convolution.

    Doubling is by nearest neighbours and a 5x5 convolution, normed over the whole of an image (recalled): that keeps
    the channels' means apart, which instance norm would not.
    """
    layers: list[nn.Module] = [_block(base, dims) for _ in range(blocks)]
    for width in (4 * base, 2 * base):
        widened = conv(dims)(width, width // 2, 5, 1, 2, padding_mode="reflect")
        layers += [nn.Upsample(scale_factor=2), widened, nn.GroupNorm(1, width // 2), nn.ReLU()]
    layers.append(conv(dims)(base, channels, 7, 1, 3, padding_mode="reflect"))
    return nn.Sequential(*layers, *([nn.Tanh()] if tanh else []))


def init_he(module: nn.Module) -> None:
    """He et al. 2015, equation 10: N(0, sqrt(2 / inputs of a neuron)) for every convolution, zero biases (recalled)."""
    for layer in module.modules():
        if isinstance(layer, nn.modules.conv._ConvNd):
            nn.init.kaiming_normal_(layer.weight)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)


def _block(base: int, dims: int) -> ResidualBlock:
    return ResidualBlock(4 * base, dims, "reflect", affine=False)
