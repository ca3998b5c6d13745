"""DiscoGAN: two generators that undo each other, two critics whose features the fakes must match on average.

Taeksoo Kim, Moonsu Cha, Hyunsoo Kim, Jung Kwon Lee, Jiwon Kim, "Learning to discover cross-domain relations with
generative adversarial networks", ICML 2017 (arXiv 1703.05192). Implemented: the reconstruction loss (3), the
adversarial losses (4) and (6) and the full objectives (7) and (8), with the feature matching (Salimans et al. 2016,
section 3.1), the weights and the curriculum that the released code adds.

    G: for each side:  (1 - r) (gan BCE(D(fake), 1) + features |E f(real) - E f(fake)|^2) + r MSE(reconstructed, real)
    D: for each side:  0.5 BCE(D(real), 1) + 0.5 BCE(D(fake), 0)

A is the contrast that is given, B the one that is wanted. f are the critic's layers 2, 3 and 4; r is 0.01 at first and
0.5 later. In every third step the discriminators have their turn, in the other two the generators, never both. One Adam
for both generators, one for both discriminators.

Deviations:
* images are in [-1, 1] throughout, in the paper in [0, 1]: the last layer is 2 sigmoid(x) - 1. The reconstruction is
  compared in [0, 1] all the same, so that r means what it meant;
* the critics return logits and the loss holds the sigmoid, which is the same and does not overflow;
* the first rate lasts for a fraction of the images, not for 10,000 steps, so that it scales with a run's length;
* on images larger than 64 x 64 a critic gives a map of scores, one for each window of 64 pixels in steps of 16, whose
  loss is averaged; features are compared at every place;
* the MR recipes end linearly, take smaller batches and are given the shuffled slices of each contrast, of any case.

Batch norm: in training it takes the batch's statistics, so ranks that share a batch differ from one process. At
synthesis it takes the running ones, so that a result does not depend on its company (the released code has no such mode
and normalises the test images by each other). What this deviation costs: the running statistics mix those of real
inputs with those of the fakes that a generator is given in the reconstruction, while at synthesis it is given real ones
alone. a_to_b alone is used; there is no dropout and no noise.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from polycontrast import losses
from polycontrast.data.batches import Batch
from polycontrast.data.configs import AnyData
from polycontrast.errors import UserError
from polycontrast.nets.disco import DiscoCritic, DiscoGenerator
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
from polycontrast.systems.checks import check_size, check_unpaired
from polycontrast.systems.sides import INTO, OTHER, SIDES, a_to_b, both_sides, into, terms_of_sides

FIRST, ALL = "first", "all"  # the phases
_ADAM = OptimiserConfig(betas=(0.5, 0.999), weight_decay=1e-5)


@dataclass(frozen=True)
class DiscoganConfig:
    """have, want: one contrast each, sides A and B.

    gan, features: the shares of cross-entropy and feature matching. first_rate, rate: the reconstruction's share r in
    the first `start` of the images, and afterwards. every: in how many steps the discriminators have one turn. base,
    critic_base: the widths of generators and critics. tanh: False ends the generators linearly, for units that are not
    bounded.
    """

    name: Literal["discogan"] = "discogan"
    have: tuple[str, ...] = ("T2",)
    want: tuple[str, ...] = ("T1",)
    gan: float = 0.1
    features: float = 0.9
    first_rate: float = 0.01
    rate: float = 0.5
    start: float = 0.2
    every: int = 3
    base: int = 64
    critic_base: int = 64
    tanh: bool = True
    generator: OptimiserConfig = _ADAM
    discriminator: OptimiserConfig = _ADAM


@dataclass(frozen=True)
class Scene:
    """One step, by side: real images and fakes (with their graph if the generators have a turn); and r."""

    real: dict[str, Tensor]
    fake: dict[str, Tensor]
    rate: float


class Discogan(System):
    """Two players of two networks each, as the module's docstring tells."""

    most_have = 1
    most_want = 1
    multiple = 16
    synthesizers = (GENERATOR,)

    def __init__(self, config: DiscoganConfig, data: AnyData) -> None:
        super().__init__(data)
        c, planes = config, data.channels
        check_unpaired(c.name, data, c.have, c.want)
        check_size(c.name, data, 64)
        if c.every < 2:
            raise UserError(
                f"every is {c.every}: the discriminators would have every turn, the generators none",
                hint="set every to 2 or more; 3 is published",
            )
        self.config, self.have, self.want = c, c.have, c.want
        self.players = {
            GENERATOR: nn.ModuleDict({
                way: DiscoGenerator(planes, planes, c.base, data.dims, tanh=c.tanh) for way in INTO.values()
            }),
            DISCRIMINATOR: nn.ModuleDict({side: DiscoCritic(planes, c.critic_base, data.dims) for side in SIDES}),
        }  # fmt: skip
        self.optimisers = {GENERATOR: c.generator, DISCRIMINATOR: c.discriminator}

    def phases(self, images: int) -> list[Phase]:
        first = round(images * self.config.start)
        turns = (DISCRIMINATOR, GENERATOR)
        return [Phase(FIRST, first, turns), Phase(ALL, images - first, turns)]

    def turns(self, phase: Phase, updates: int) -> tuple[str, ...]:  # noqa: ARG002
        return (DISCRIMINATOR,) if updates % self.config.every == 0 else (GENERATOR,)

    def draw(self, batch: Batch, step: Step, rng: SampleRng) -> Scene:  # noqa: ARG002
        real = both_sides(batch, self)
        with torch.set_grad_enabled(GENERATOR in step.turns):
            fake = {side: into(self, side, real[OTHER[side]]) for side in SIDES}
        return Scene(real, fake, self.config.first_rate if step.phase == FIRST else self.config.rate)

    def losses(self, player: str, scene: Scene) -> dict[str, Term]:
        return terms_of_sides(self._generator if player == GENERATOR else self._discriminator, scene)

    def _generator(self, side: str, scene: Scene) -> dict[str, Term]:
        c, r, real = self.config, scene.rate, scene.real[side]
        score, features = self.run(DISCRIMINATOR, scene.fake[side], part=side)
        _, real_features = self.run(DISCRIMINATOR, real, part=side)
        again = into(self, side, scene.fake[OTHER[side]])
        return {
            f"g_gan_{side}": Term(losses.real_or_fake(score, True), c.gan * (1 - r)),
            f"g_features_{side}": Term(losses.feature_matching(features, real_features), c.features * (1 - r)),
            f"g_rec_{side}": Term(losses.l2(again / 2, real / 2), r),  # [-1, 1] -> the paper's scale
        }

    def _discriminator(self, side: str, scene: Scene) -> dict[str, Term]:
        # Two passes: batch norm would mix real and fake in one.
        real, _ = self.run(DISCRIMINATOR, scene.real[side], part=side)
        fake, _ = self.run(DISCRIMINATOR, scene.fake[side].detach(), part=side)
        return {
            f"d_real_{side}": Term(losses.real_or_fake(real, True), 0.5),
            f"d_fake_{side}": Term(losses.real_or_fake(fake, False), 0.5),
        }

    def _synthesize(self, images: Tensor, have: Sequence[str], want: Sequence[str]) -> tuple[Tensor, Tensor | None]:  # noqa: ARG002
        return a_to_b(self, images), None
