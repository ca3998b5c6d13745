"""UNIT: two variational autoencoders that share a latent space, so that what one encodes the other can decode.

Ming-Yu Liu, Thomas Breuel, Jan Kautz, "Unsupervised image-to-image translation networks", NeurIPS 2017 (arXiv
1703.00848). Implemented: the shared latent space by tied blocks (section 2), the joint objective (equation 2), with
the variational terms (3, 4), the adversarial terms (5, 6) in the least-squares form of the released code, and the cycle
terms (7, 8); numbers of equations are recalled.

    z_a = E_a(a) + n,  n ~ N(0, I);   b from a: G_b(z_a);   back: z_ab = E_b(G_b(z_a)) + n'
    D: for each side  gan (E[(D(real) - 1)^2] + E[D(fake)^2]), every D summed over three scales of the image
    G: for each side  gan E[(D(fake) - 1)^2] + rec E|G_a(z_a) - a| + kl mean E_a(a)^2
                        + cyc E|G_a(z_ab) - a| + cyc_kl mean E_b(G_b(z_a))^2

A is the contrast that is given, B the one that is wanted. E is the mean of the posterior, whose variance is fixed to 1;
E and G are those of a side, with the shared blocks. D's turn comes first. One Adam for both autoencoders, one for both
discriminators.

Deviations, each on purpose:
* networks, least squares and weights are the released code's (the paper has other layers, the logarithmic loss and
  larger KL and reconstruction weights: 0.1 and 100, recalled); the tied blocks are the paper's, and `tied=False` gives
  each side its own;
* kl and cyc_kl weigh the mean of squares, as released, where the paper has the KL divergence itself;
* translations run forward once a step: the same fakes, of the same noise, serve both turns;
* no perceptual term (its released weight is 0 or 1): it needs a VGG network's weights, which have to be downloaded;
* the rate is halved after every tenth of the training, which is every 100k of the published 1 M steps;
* the MR recipes end linearly, take larger batches and are given the shuffled slices of each contrast, of any case.
Layer norm, padding and initialisation, where the networks say "(recalled)", were not verified.

At synthesis: the mean of the encoder, no noise; instance and layer norm use the image itself, there is no dropout,
nothing depends on the batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from polycontrast import losses
from polycontrast.data.batches import Batch
from polycontrast.data.configs import AnyData
from polycontrast.nets.scale_critic import ScaleCritic, smallest
from polycontrast.nets.vae import TwinAutoencoder
from polycontrast.systems.base import (
    DISCRIMINATOR,
    GENERATOR,
    OptimiserConfig,
    Phase,
    SampleRng,
    Step,
    System,
    Term,
)
from polycontrast.systems.channels import as_channels, as_contrasts
from polycontrast.systems.checks import check_size, check_unpaired
from polycontrast.systems.sides import OTHER, SIDES, both_sides, terms_of_sides

_HALVED = OptimiserConfig(tuple((i / 10, 1e-4 / 2**i) for i in range(10)), betas=(0.5, 0.999), weight_decay=1e-4)


@dataclass(frozen=True)
class UnitConfig:
    """have, want: one contrast each, sides A and B.

    gan, rec, kl, cyc, cyc_kl: the weights of the terms. tied: whether the sides share the last block of their
    encoders and the first of their decoders. blocks, base: the residual blocks on either side of the latent space and
    the width; critic_levels, critic_scales, critic_base: the discriminators' size. tanh: False ends the decoders
    linearly, for units that are not bounded.
    """

    name: Literal["unit"] = "unit"
    have: tuple[str, ...] = ("T2",)
    want: tuple[str, ...] = ("T1",)
    gan: float = 1.0
    rec: float = 10.0
    kl: float = 0.01
    cyc: float = 10.0
    cyc_kl: float = 0.01
    tied: bool = True
    blocks: int = 4
    base: int = 64
    critic_levels: int = 4
    critic_scales: int = 3
    critic_base: int = 64
    tanh: bool = True
    generator: OptimiserConfig = _HALVED
    discriminator: OptimiserConfig = _HALVED


@dataclass(frozen=True)
class Passage:
    """One image's way to the other side: real, the mean of its posterior, a draw from that, the draw decoded at the
    other side (with its graph), and the noise of the way back."""

    real: Tensor
    mean: Tensor
    code: Tensor
    translated: Tensor
    noise: Tensor


Scene = dict[str, Passage]  # by the side that an image comes from


class Unit(System):
    """The two players and their turns, as the module's docstring tells."""

    synthesizers = (GENERATOR,)
    most_have = 1
    most_want = 1
    multiple = 4

    def __init__(self, config: UnitConfig, data: AnyData) -> None:
        super().__init__(data)
        c, planes, dims = config, data.channels, data.dims
        check_unpaired(c.name, data, c.have, c.want)
        edge = smallest(c.critic_levels, c.critic_scales)
        check_size(c.name, data, edge, ", or lower critic_levels or critic_scales")
        self.config, self.have, self.want = c, c.have, c.want
        self.players = {
            DISCRIMINATOR: nn.ModuleDict({
                side: ScaleCritic(planes, c.critic_levels, c.critic_scales, c.critic_base, dims) for side in SIDES
            }),
            GENERATOR: TwinAutoencoder(planes, c.blocks, c.base, dims, c.tied, c.tanh),
        }  # fmt: skip
        self.optimisers = {GENERATOR: c.generator, DISCRIMINATOR: c.discriminator}

    def phases(self, images: int) -> list[Phase]:
        return [Phase("all", images, (DISCRIMINATOR, GENERATOR))]

    def draw(self, batch: Batch, step: Step, rng: SampleRng) -> Scene:  # noqa: ARG002
        return {side: self._passage(side, real, rng) for side, real in both_sides(batch, self).items()}

    def _passage(self, side: str, real: Tensor, rng: SampleRng) -> Passage:
        mean = self._encode(real, side)
        code = mean + rng.normal_like(mean)
        return Passage(real, mean, code, self._decode(code, OTHER[side]), rng.normal_like(mean))

    def _encode(self, image: Tensor, side: str) -> Tensor:
        mean: Tensor = self.run(GENERATOR, self.run(GENERATOR, image, part=f"encoder_{side}"), part="shared_encoder")
        return mean

    def _decode(self, code: Tensor, side: str) -> Tensor:
        image: Tensor = self.run(GENERATOR, self.run(GENERATOR, code, part="shared_decoder"), part=f"decoder_{side}")
        return image

    def losses(self, player: str, scene: Scene) -> dict[str, Term]:
        return terms_of_sides(self._generator if player == GENERATOR else self._discriminator, scene)

    def _discriminator(self, side: str, scene: Scene) -> dict[str, Term]:
        # The critics have no norm layer, so real and fake can share one pass.
        images = torch.cat([scene[side].real, scene[OTHER[side]].translated.detach()])
        real, fake = zip(*(score.chunk(2) for score in self.run(DISCRIMINATOR, images, part=side)), strict=True)
        return {f"d_{side}": Term(_least_squares(real, True) + _least_squares(fake, False), self.config.gan)}

    def _generator(self, side: str, scene: Scene) -> dict[str, Term]:
        """What a side's images ask of both autoencoders: to be rebuilt, to pass as the other's, and to come back."""
        c, way, other = self.config, scene[side], OTHER[side]
        again = self._encode(way.translated, other)
        rebuilt, returned = self._decode(way.code, side), self._decode(again + way.noise, side)
        scores = self.run(DISCRIMINATOR, way.translated, part=other)
        return {
            f"g_gan_{other}": Term(_least_squares(scores, True), c.gan),
            f"g_rec_{side}": Term(losses.l1(rebuilt, way.real), c.rec),
            f"g_kl_{side}": Term(losses.unit_variance_kl(way.mean), c.kl),
            f"g_cyc_{side}": Term(losses.l1(returned, way.real), c.cyc),
            f"g_cyc_kl_{side}": Term(losses.unit_variance_kl(again), c.cyc_kl),
        }

    def _synthesize(self, images: Tensor, have: Sequence[str], want: Sequence[str]) -> tuple[Tensor, Tensor | None]:  # noqa: ARG002
        made = self._decode(self._encode(as_channels(images, self.data.dims), "a"), "b")
        return as_contrasts(made, 1, self.data.dims), None


def _least_squares(scores: Sequence[Tensor], real: bool) -> Tensor:
    """The least-squares loss summed over the scales."""
    return torch.stack([losses.least_squares(score, real) for score in scores]).sum()
