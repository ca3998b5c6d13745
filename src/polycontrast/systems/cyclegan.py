"""CycleGAN: two generators and two critics that learn to translate both ways without a single pair.

Jun-Yan Zhu, Taesung Park, Phillip Isola, Alexei A. Efros, "Unpaired image-to-image translation using cycle-consistent
adversarial networks", ICCV 2017 (arXiv 1703.10593). Implemented: the adversarial loss (1) in its least-squares form of
section 4, the cycle consistency loss (2), the full objective (3) and the identity loss of section 5.2.

    G: for each side:  E[(D(fake) - 1)^2] + cycle |cycled - real| + cycle identity |G(real) - real|
    D: for each side:  0.5 E[(D(real) - 1)^2] + 0.5 E[D(pooled)^2]

A is the contrast that is given, B the one that is wanted. fake: a generator's image of the other side's real one;
cycled: what the other generator makes of that again; G(real): what the generator *into* a side makes of an image that
is of that side already; pooled: the fake or, half of the time, one of the last 50. The generators' turn is first, then
the discriminators judge the fakes that were made before it, as released. One Adam for both generators, one for both
discriminators. Both sides must have as many planes.

Deviations:
* the identity loss is on, as released; the paper has it for paintings alone. identity = 0 leaves it out;
* the critics see real and pooled images in one pass: instance norm keeps them apart, so nothing changes;
* the rate falls to zero with every batch, not once an epoch;
* the MR recipes end linearly, take larger batches and are given the shuffled slices of each contrast, of any case.

Pools: a pool's choices derive from the samples, and its images are part of the state, so that a resume is exact on one
process. With several ranks each has a pool of its own share's fakes. What then prevents equality with one process is
only that the pools hold images of other steps: until they are full, every fake is returned as it is. A checkpoint holds
the first rank's pools, with which all ranks go on.

At synthesis a_to_b alone is used: instance norm takes each image by itself, there is no dropout and no noise.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from polycontrast import losses
from polycontrast.data.batches import Batch
from polycontrast.data.configs import AnyData
from polycontrast.nets.patch_critic import PatchCritic, smallest
from polycontrast.nets.residual_generator import ResidualGenerator
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
from polycontrast.systems.checks import check_size, check_unpaired
from polycontrast.systems.pool import ImagePool
from polycontrast.systems.sides import INTO, OTHER, SIDES, a_to_b, both_sides, into, terms_of_sides

_ADAM = falling(2e-4, betas=(0.5, 0.999))


@dataclass(frozen=True)
class CycleganConfig:
    """have, want: one contrast each, sides A and B.

    cycle: the weight of the cycle loss, each way; identity: that of the identity loss, as a share of it. pool: past
    fakes kept per side. blocks: residual blocks (nine for 256 x 256, six for 128 x 128). base, critic_base: the widths
    of generators and critics. tanh: False ends the generators linearly, for units that are not bounded.
    """

    name: Literal["cyclegan"] = "cyclegan"
    have: tuple[str, ...] = ("T2",)
    want: tuple[str, ...] = ("T1",)
    cycle: float = 10.0
    identity: float = 0.5
    pool: int = 50
    blocks: int = 9
    base: int = 64
    critic_base: int = 64
    tanh: bool = True
    generator: OptimiserConfig = _ADAM
    discriminator: OptimiserConfig = _ADAM


@dataclass(frozen=True)
class Scene:
    """One step, by side: real images, fakes (with their graph) and what the pools give for them."""

    real: dict[str, Tensor]
    fake: dict[str, Tensor]
    pooled: dict[str, Tensor]


class Cyclegan(System):
    """Two players of two networks each, as the module's docstring tells."""

    most_have = 1
    most_want = 1
    multiple = 4
    synthesizers = (GENERATOR,)

    def __init__(self, config: CycleganConfig, data: AnyData) -> None:
        super().__init__(data)
        c, planes = config, data.channels
        check_unpaired(c.name, data, c.have, c.want)
        check_size(c.name, data, smallest())
        self.config, self.have, self.want = c, c.have, c.want
        self.players = {
            GENERATOR: nn.ModuleDict({
                way: ResidualGenerator(planes, planes, c.blocks, c.base, data.dims, tanh=c.tanh)
                for way in INTO.values()
            }),
            DISCRIMINATOR: nn.ModuleDict({
                side: PatchCritic(planes, base=c.critic_base, dims=data.dims, norm="instance") for side in SIDES
            }),
        }  # fmt: skip
        self.optimisers = {GENERATOR: c.generator, DISCRIMINATOR: c.discriminator}
        self.pools = {side: ImagePool(c.pool) for side in SIDES}

    def phases(self, images: int) -> list[Phase]:
        return [Phase("all", images, (GENERATOR, DISCRIMINATOR))]

    def draw(self, batch: Batch, step: Step, rng: SampleRng) -> Scene:  # noqa: ARG002
        real = both_sides(batch, self)
        fake = {side: into(self, side, real[OTHER[side]]) for side in SIDES}
        return Scene(real, fake, {side: self.pools[side].swap(fake[side], rng) for side in SIDES})

    def losses(self, player: str, scene: Scene) -> dict[str, Term]:
        return terms_of_sides(self._generator if player == GENERATOR else self._discriminator, scene)

    def _generator(self, side: str, scene: Scene) -> dict[str, Term]:
        c, real = self.config, scene.real[side]
        cycled = into(self, side, scene.fake[OTHER[side]])
        terms = {
            f"g_gan_{side}": Term(losses.least_squares(self.run(DISCRIMINATOR, scene.fake[side], part=side), True)),
            f"g_cycle_{side}": Term(losses.l1(cycled, real), c.cycle),
        }
        if c.identity:
            terms[f"g_identity_{side}"] = Term(losses.l1(into(self, side, real), real), c.cycle * c.identity)
        return terms

    def _discriminator(self, side: str, scene: Scene) -> dict[str, Term]:
        real, fake = self.run(DISCRIMINATOR, torch.cat([scene.real[side], scene.pooled[side]]), part=side).chunk(2)
        return {
            f"d_real_{side}": Term(losses.least_squares(real, True), 0.5),
            f"d_fake_{side}": Term(losses.least_squares(fake, False), 0.5),
        }

    def extra_state(self) -> dict[str, Any]:
        return {side: list(pool.images) for side, pool in self.pools.items()}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        for side, pool in self.pools.items():
            pool.images = list(state[side])

    def _synthesize(self, images: Tensor, have: Sequence[str], want: Sequence[str]) -> tuple[Tensor, Tensor | None]:  # noqa: ARG002
        return a_to_b(self, images), None
