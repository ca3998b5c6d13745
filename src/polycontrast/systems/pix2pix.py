"""pix2pix: a U-Net that must fool a critic of patches, held close to the truth by the L1 norm.

Phillip Isola, Jun-Yan Zhu, Tinghui Zhou, Alexei A. Efros, "Image-to-image translation with conditional adversarial
networks", CVPR 2017 (arXiv 1611.07004). Implemented: the conditional adversarial loss (1), the L1 loss (3), the full
objective (4), the halved objective of D (section 3.3), the U-Net and the 70 x 70 patch critic (appendix 6.1).

    D: (BCE(D(source, real), 1) + BCE(D(source, fake), 0)) / 2
    G: gan BCE(D(source, fake), 1) + l1 E[|real - fake|]

The paper's ablation (table 1) is a matter of the weights: gan = 0 is L1 alone, and then there is no critic at all;
l1 = 0 is cGAN alone, and the L1 norm is only logged. D takes its turn before G, as released. G and D are in training
mode in both turns: batch norm uses the batch's statistics, which at the published batch of one are the image's own.

Deviations from the paper and the released code, each on purpose:
* at synthesis dropout is off. The paper keeps it on, as the only noise it has (and finds that little comes of it); here
  the same input gives the same bytes;
* the rate falls with every step, in the released code with every epoch;
* several source contrasts may be given, as channels; `data.dims` 3 makes every convolution one of volumes;
* tanh = False ends the generator linearly, for units that are not bounded;
* dropout draws from the library's own generator, so that a run on two ranks is not to the bit that of one.
Left out: the paper's other ablations (D without the source, other patch sizes, noise z), and its FCN scores of
Cityscapes and human judgements, which need that data and those people.

At synthesis: batch norm uses the image's own statistics, as the paper does with its batches of one (section 3.4): the
result depends on no other image, and running statistics are collected but never used. Trained with a larger batch the
network would see other statistics then than it was trained with, so recipes train with one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from polycontrast import losses
from polycontrast.data.batches import Batch
from polycontrast.data.configs import AnyData
from polycontrast.errors import UserError
from polycontrast.nets.patch_critic import PatchCritic, smallest
from polycontrast.nets.skip_generator import SkipGenerator
from polycontrast.systems.base import (
    DISCRIMINATOR,
    GENERATOR,
    OptimiserConfig,
    Phase,
    SampleRng,
    Step,
    System,
    Term,
    falling,
)
from polycontrast.systems.channels import as_contrasts, chosen, joined
from polycontrast.systems.checks import check_paired, check_size

_ADAM = falling(2e-4, betas=(0.5, 0.999))


@dataclass(frozen=True)
class Pix2pixConfig:
    """have: the source contrasts; want: the one that is made (the paper's A and B are the sides of a file).

    gan, l1: the weights of the generator's terms; gan 0 leaves the critic out. levels, base: the generator's depth and
    width; critic_base: the critic's width. tanh: False ends the generator linearly.
    """

    name: Literal["pix2pix"] = "pix2pix"
    have: tuple[str, ...] = ("A",)
    want: tuple[str, ...] = ("B",)
    gan: float = 1.0
    l1: float = 100.0
    levels: int = 8
    base: int = 64
    critic_base: int = 64
    tanh: bool = True
    generator: OptimiserConfig = _ADAM
    discriminator: OptimiserConfig = _ADAM


@dataclass(frozen=True)
class Scene:
    """One step: source [B, n * K, *size], the wanted contrast as it is and as made (with its graph) [B, K, *size]."""

    source: Tensor
    real: Tensor
    fake: Tensor


class Pix2pix(System):
    """The two players and their turns, as the module's docstring tells. Slices, photographs and patches."""

    most_want = 1
    synthesizers = (GENERATOR,)

    def __init__(self, config: Pix2pixConfig, data: AnyData) -> None:
        super().__init__(data)
        check_paired(config.name, data, config.have, config.want)
        if len(config.want) != 1:
            raise UserError(
                f"pix2pix makes one contrast, wanted are {', '.join(config.want) or 'none'}",
                hint="train one model for each; unet and tcmgan make several at once",
            )
        c, inputs = config, len(config.have) * data.channels
        self.config, self.have, self.want = c, c.have, c.want
        self.players = {
            GENERATOR: SkipGenerator(
                inputs, data.channels, c.levels, c.base, data.dims, c.tanh, norm="batch", dropout=True
            )
        }
        self.optimisers = {GENERATOR: c.generator}
        if c.gan:
            check_size(c.name, data, smallest())
            self.players[DISCRIMINATOR] = PatchCritic(inputs + data.channels, base=c.critic_base, dims=data.dims)
            self.optimisers[DISCRIMINATOR] = c.discriminator
        self.multiple = 2**c.levels

    def phases(self, images: int) -> list[Phase]:
        return [Phase("all", images, (DISCRIMINATOR, GENERATOR) if self.config.gan else (GENERATOR,))]

    def draw(self, batch: Batch, step: Step, rng: SampleRng) -> Scene:  # noqa: ARG002
        source, real = (joined(batch, self.data.contrasts, names) for names in (self.have, self.want))
        return Scene(source, real, self.run(GENERATOR, source))

    def losses(self, player: str, scene: Scene) -> dict[str, Term]:
        if player == DISCRIMINATOR:
            # One pass each: batch norm must not mix the statistics of real and fake.
            return {
                "d_real": Term(losses.real_or_fake(self._score(scene, scene.real), True), 0.5),
                "d_fake": Term(losses.real_or_fake(self._score(scene, scene.fake.detach()), False), 0.5),
            }
        terms = {"g_l1": Term(losses.l1(scene.fake, scene.real), self.config.l1)}
        if self.config.gan:
            terms["g_fake"] = Term(losses.real_or_fake(self._score(scene, scene.fake), True), self.config.gan)
        return terms

    def _score(self, scene: Scene, candidate: Tensor) -> Tensor:
        score: Tensor = self.run(DISCRIMINATOR, torch.cat([scene.source, candidate], dim=1))
        return score

    def _synthesize(self, images: Tensor, have: Sequence[str], want: Sequence[str]) -> tuple[Tensor, Tensor | None]:  # noqa: ARG002
        source = chosen(images, have, self.have, self.data.dims)
        return as_contrasts(self.run(GENERATOR, source), 1, self.data.dims), None
