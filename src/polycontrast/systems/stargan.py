"""StarGAN: one generator that is told which kind of image to make, over one data set or several.

Yunjey Choi et al., "StarGAN: unified generative adversarial networks for multi-domain image-to-image translation",
CVPR 2018 (arXiv 1711.09020). Implemented: Wasserstein loss with gradient penalty (8), classification (2, 3), cycle (4),
the full objectives (5, 6), and the mask vector over several data sets (7). No pair is ever seen: a sample is one image.

    D: -E[D(x)] + E[D(G(x, c))] + gp GP + cls BCE or CE(class of x, c')
    G: -E[D(G(x, c))] + cls BCE or CE(class of G(x, c), c) + cycle E[|x - G(G(x, c), c')|]

c' is what the image shows, c the target, as constant planes beside the image. With several data sets the planes are the
labels of all, unknown ones zero, and a one-hot of the data set (the mask vector); the discriminator has an output for
each label, of which only those that the image's data set tells enter the loss. A step is of one data set; they
alternate, and the generator has its turn with each. The released code takes all data sets in one iteration (recalled),
which is a step of each here. The labels are the data's (`data.labels`): the contrasts of each cohort, or attributes.

As released: D(x) is the mean of the critic's map, but the penalty is on the gradient of its sum; several turns of D to
one of G; so a run's images are batch x steps, and the generator is updated in a fifth of these steps.

Deviations, each on purpose:
* targets are labels of other images of the data set, drawn for each sample, where the paper permutes the batch's: the
  same distribution, and the same for any number of ranks;
* the rate falls linearly to zero over the last half, as the paper says; the released code applies the fall once per
  1000 steps and so hardly lowers the rate;
* the generator's instance norm keeps no running statistics, which the released test does not use either;
* in MR one slice is one channel, and the output may be linear.

At synthesis: instance norm uses the image itself; no dropout, no noise, nothing depends on the batch. The label is a
one-hot of what is wanted in the first data set that has it, with that one's mask vector: what only the second cohort
has can be asked of a case of the first. An attribute is asked for alone: all others are set to zero, as "not so".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from polycontrast import losses
from polycontrast.data.batches import Batch
from polycontrast.data.configs import AnyData, DataConfig
from polycontrast.errors import UserError
from polycontrast.nets.critic import StarCritic
from polycontrast.nets.layers import with_planes
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
from polycontrast.systems.channels import as_channels
from polycontrast.systems.checks import check_shown, check_size

_NEVER = -1e4  # the logit of a label that is not told: it costs nothing in either form of the classification loss
_ADAM = falling(1e-4, betas=(0.5, 0.999))


@dataclass(frozen=True)
class StarganConfig:
    """have: what may be given, the first that is there is used; want: what may be asked for, among the data's labels.

    exclusive: for each data set, whether an image shows exactly one of its labels (cross-entropy, as on RaFD and for
    contrasts) or any number (binary, as on CelebA). cls, cycle, gp: the weights. critics: turns of the discriminator to
    one of the generator. blocks, base, critic_levels, critic_base: depths and widths. tanh: False ends the generator
    linearly, for units that are not bounded.
    """

    name: Literal["stargan"] = "stargan"
    have: tuple[str, ...] = ("T2", "FLAIR", "T1ce", "T1")
    want: tuple[str, ...] = ("FLAIR", "T1ce", "T1", "T2")
    exclusive: tuple[bool, ...] = (True,)
    cls: float = 1.0
    cycle: float = 10.0
    gp: float = 10.0
    critics: int = 5
    blocks: int = 6
    base: int = 64
    critic_levels: int = 6
    critic_base: int = 64
    tanh: bool = True
    generator: OptimiserConfig = _ADAM
    discriminator: OptimiserConfig = _ADAM


@dataclass(frozen=True)
class Scene:
    """One step: images [B, K, H, W], what they show and shall show [B, c], which labels their data set [B] tells and
    whether these exclude each other, the fake (with its graph if the generator has a turn) and GP's mixing."""

    image: Tensor
    label: Tensor
    target: Tensor
    known: Tensor
    dataset: Tensor
    exclusive: bool
    fake: Tensor
    mix: Tensor


class Stargan(System):
    """The two players and their turns, as the module's docstring tells."""

    any_source = True
    multiple = 4
    synthesizers = (GENERATOR,)

    def __init__(self, config: StarganConfig, data: AnyData) -> None:
        super().__init__(data)
        c = config
        self.config, self.have, self.want = c, c.have, c.want
        self._sets = _labels(c, data)
        self._names = [name for names in self._sets for name in names]
        number, sets = len(self._names), len(self._sets)
        planes = number if sets == 1 else number + sets
        self.players = {
            DISCRIMINATOR: StarCritic(data.channels, number, data.size, c.critic_levels, c.critic_base),
            GENERATOR: ResidualGenerator(
                data.channels + planes, data.channels, c.blocks, c.base, style="stargan", tanh=c.tanh
            ),
        }
        self.optimisers = {GENERATOR: c.generator, DISCRIMINATOR: c.discriminator}

    def phases(self, images: int) -> list[Phase]:
        return [Phase("all", images, (DISCRIMINATOR, GENERATOR))]

    def turns(self, phase: Phase, updates: int) -> tuple[str, ...]:
        """The generator has a turn in every round of number `critics`, 2 `critics` ...: a step of each data set."""
        return phase.turns if (updates // len(self._sets) + 1) % self.config.critics == 0 else (DISCRIMINATOR,)

    def draw(self, batch: Batch, step: Step, rng: SampleRng) -> Scene:
        label, target, known, dataset = batch.labels, batch.targets, batch.known, batch.dataset
        if label is None or target is None or known is None or dataset is None:
            raise ValueError("stargan learns from labelled batches, found one without labels")
        image = as_channels(batch.images, 2)
        with torch.set_grad_enabled(GENERATOR in step.turns):
            fake = self._translate(image, target, dataset)
        exclusive = self.config.exclusive[int(dataset[0])]
        return Scene(image, label, target, known, dataset, exclusive, fake, rng.uniform())

    def losses(self, player: str, scene: Scene) -> dict[str, Term]:
        if player == GENERATOR:
            return self._generator(scene, scene.fake)
        return self._discriminator(scene, scene.fake.detach())

    def _discriminator(self, scene: Scene, fake: Tensor) -> dict[str, Term]:
        b = len(fake)
        # The critic has no norm layer, so real and fake can share one pass.
        score, logits = self.run(DISCRIMINATOR, torch.cat([scene.image, fake]))
        critic = self.players[DISCRIMINATOR]
        return {
            "d_real": Term(-score[:b].mean()),
            "d_fake": Term(score[b:].mean()),
            "d_cls": Term(_classification(logits[:b], scene.label, scene), self.config.cls),
            "d_gp": Term(losses.gradient_penalty(lambda x: critic(x)[0], scene.image, fake, scene.mix), self.config.gp),
        }

    def _generator(self, scene: Scene, fake: Tensor) -> dict[str, Term]:
        score, logits = self.run(DISCRIMINATOR, fake)
        back = self._translate(fake, scene.label, scene.dataset)
        return {
            "g_fake": Term(-score.mean()),
            "g_cls": Term(_classification(logits, scene.target, scene), self.config.cls),
            "g_cycle": Term(losses.l1(back, scene.image), self.config.cycle),
        }

    def _translate(self, image: Tensor, label: Tensor, dataset: Tensor) -> Tensor:
        """image [B, K, H, W], label [B, c], data set [B] -> what the generator makes of it, [B, K, H, W]."""
        if len(self._sets) > 1:
            label = torch.cat([label, F.one_hot(dataset, len(self._sets)).to(label.dtype)], dim=1)
        made: Tensor = self.run(GENERATOR, with_planes(image, label))
        return made

    def _synthesize(self, images: Tensor, have: Sequence[str], want: Sequence[str]) -> tuple[Tensor, Tensor | None]:
        if len(have) != 1:
            raise UserError(f"stargan translates one image, given are {', '.join(have)}", hint="give one of them")
        image = as_channels(images, 2)
        out = []
        for name in want:
            label = image.new_zeros(len(image), len(self._names))
            label[:, self._names.index(name)] = 1
            first = next(i for i, names in enumerate(self._sets) if name in names)
            dataset = torch.full((len(image),), first, device=image.device)
            out.append(self._translate(image, label, dataset))
        return torch.stack(out, dim=1), None


def _classification(logits: Tensor, label: Tensor, scene: Scene) -> Tensor:
    """The loss of the logits [B, c] that the active data set tells; the others have neither value nor gradient."""
    told = logits.masked_fill(~scene.known, _NEVER)
    return losses.cross_entropy(told, label) if scene.exclusive else losses.classification(told, label)


def _labels(config: StarganConfig, data: AnyData) -> tuple[tuple[str, ...], ...]:
    """The labels of each data set; a UserError if the configuration and the data do not fit each other."""
    labels = data.labels
    if not labels:
        raise UserError(
            "stargan is told what each image shows, and this data has no labels",
            hint="set data.labels: the contrasts of each cohort, or the attributes of the photographs",
        )
    names = [name for some in labels for name in some]
    if isinstance(data, DataConfig) and data.slab != 1:
        raise UserError(f"stargan sees single slices, found slabs of {data.slab}", hint="set data.slab to 1")
    if isinstance(data, DataConfig) and (odd := set(names) ^ set(data.contrasts)):
        raise UserError(f"data.labels and data.contrasts differ: {', '.join(sorted(odd))}", hint="list it in both")
    check_shown(config.name, config.want, names)
    check_shown(config.name, config.have, data.contrasts)
    if (found := len(config.exclusive)) != len(labels):
        raise UserError(f"{len(labels)} sets of labels, {found} values of system.exclusive", "give each set its value")
    if config.critics < 1:
        raise UserError(f"critics is {config.critics}: the generator would have no turn", "set it to 1 or more")
    check_size(config.name, data, 2**config.critic_levels, ", or lower critic_levels")
    return labels
