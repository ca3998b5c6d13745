"""Dai et al.'s unified GAN: one generator and one discriminator make any contrast of any other, in 3-D patches.

Xianjin Dai, Yang Lei, Yabo Fu, Walter J. Curran, Tian Liu, Hui Mao, Xiaofeng Yang, "Multimodal MRI synthesis using
unified generative adversarial networks", Medical Physics 47, 2020 (10.1002/mp.14539). Implemented from its public
description: the generator is given an image x of the contrast s and the label of a target contrast t, the
discriminator tells real from synthetic and names the contrast, and each contrast in turn is source and target.

    fake = G(x, t), cycled = G(fake, s), real: the patient's own image of contrast t
    D: adversarial(x and real, fake) + alpha class(x and real)
    G: delta (adversarial(fake) + class(fake)) + beta |real - fake| + gamma |x - cycled|
       + mu (adversarial(cycled) + class(cycled))

The layers are not public, nor is all else that follows; it is ours, from the description:
* the generator is pix2pix's U-Net in 3-D, three levels of 4x4x4 convolutions of stride 2 with instance norm, the label
  as constant planes beside the image: 64, 128, 256 | 128, 64, 1 channels; it ends linearly: units are not bounded;
* the discriminator is StarGAN's in 3-D, four such levels without norm: 64, 128, 256, 512 channels, a 3x3x3 critic map
  and a class head over what is left; it sees the candidate alone;
* the adversarial loss is least squares, which needs no second derivative in 3-D; the class loss is cross-entropy, for
  contrasts exclude each other; both L1 terms are means over voxels;
* mu: the description has it at the cycle, beside gamma; read here as the weight of how the cycled image is judged;
* the discriminator learns from both real images of a sample, source and target, and from the fake: it judges the
  cycled image too, whose contrast may never be a target where few are wanted;
* source and target are drawn per sample, each pair of different contrasts equally often;
* Adam 2e-4 with betas (0.5, 0.999), constant; intensities as normalised units v, as 2 v - 1.

Slices work as patches do: everything follows `data.dims`.

At synthesis one contrast is the source, the first of `have` that is given. Instance norm uses the patch itself, there
is no dropout, nothing depends on the batch; of each estimate only the middle is kept (`infer/tiling.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from polycontrast import losses
from polycontrast.data.batches import Batch
from polycontrast.data.configs import AnyData
from polycontrast.errors import UserError
from polycontrast.nets.critic import StarCritic
from polycontrast.nets.layers import with_planes
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
)
from polycontrast.systems.channels import as_channels, as_contrasts, chosen
from polycontrast.systems.checks import check_paired, check_size


@dataclass(frozen=True)
class Dai3dConfig:
    """have: the contrasts of which any one may be the source, the preferred first; want: those that can be made.

    alpha: classification in the discriminator; beta: synthetic consistency (paired L1); gamma: cycle; delta:
    adversarial and classification in the generator; mu: the same of the cycled image. levels, base: the generator's
    depth and width; critic_levels, critic_base: the discriminator's.
    """

    name: Literal["dai3d"] = "dai3d"
    have: tuple[str, ...] = ("T2", "FLAIR", "T1ce", "T1")
    want: tuple[str, ...] = ("T2", "FLAIR", "T1ce", "T1")
    alpha: float = 2.0
    beta: float = 5.0
    gamma: float = 10.0
    delta: float = 2.0
    mu: float = 0.1
    levels: int = 3
    base: int = 64
    critic_levels: int = 4
    critic_base: int = 64
    generator: OptimiserConfig = OptimiserConfig(((0.0, 2e-4),), (0.5, 0.999))
    discriminator: OptimiserConfig = OptimiserConfig(((0.0, 2e-4),), (0.5, 0.999))


@dataclass(frozen=True)
class Scene:
    """One step: the sources and the drawn targets [B, 1, *size], their labels [B, c], the fakes with their graph."""

    source: Tensor
    real: Tensor
    source_label: Tensor
    label: Tensor
    fake: Tensor


class Dai3d(System):
    """The two players and their turns, as the module's docstring tells."""

    any_source = True
    synthesizers = (GENERATOR,)

    def __init__(self, config: Dai3dConfig, data: AnyData) -> None:
        super().__init__(data)
        c = config
        check_paired(c.name, data, c.have, c.want)
        check_size(c.name, data, 2**c.critic_levels, ", or lower critic_levels")
        if data.channels != 1:
            raise UserError("dai3d sees patches or slices of volumes, no colours", hint="see the recipe dai3d")
        self.config, self.have, self.want = c, c.have, c.want
        self._pairs = [(source, target) for source in c.have for target in c.want if source != target]
        if not self._pairs:
            raise UserError(f"dai3d translates between contrasts, given is {c.have[0]} alone", hint="want another")
        self._labels = list(dict.fromkeys((*c.want, *c.have)))  # the cycle makes the source again
        n = len(self._labels)
        self.players = {
            DISCRIMINATOR: StarCritic(1, n, data.size, c.critic_levels, c.critic_base, data.dims),
            GENERATOR: SkipGenerator(1 + n, 1, c.levels, c.base, data.dims, tanh=False),
        }
        self.multiple = 2**c.levels
        self.optimisers = {GENERATOR: c.generator, DISCRIMINATOR: c.discriminator}

    def phases(self, images: int) -> list[Phase]:
        return [Phase("all", images, (DISCRIMINATOR, GENERATOR))]

    def draw(self, batch: Batch, step: Step, rng: SampleRng) -> Scene:  # noqa: ARG002
        drawn = [self._pairs[i] for i in rng.integers(len(self._pairs)).tolist()]
        source, real = (self._of(batch, names) for names in zip(*drawn, strict=True))
        source_label, label = (self._label(names, source) for names in zip(*drawn, strict=True))
        return Scene(source, real, source_label, label, self.run(GENERATOR, with_planes(source, label)))

    def losses(self, player: str, scene: Scene) -> dict[str, Term]:
        return self._discriminator(scene) if player == DISCRIMINATOR else self._generator(scene)

    def _discriminator(self, scene: Scene) -> dict[str, Term]:
        real = 2 * len(scene.real)
        # The discriminator has no norm layer, so real and fake can share one pass.
        score, logits = self.run(DISCRIMINATOR, torch.cat([scene.source, scene.real, scene.fake.detach()]))
        label = torch.cat([scene.source_label, scene.label])
        return {
            "d_real": Term(losses.least_squares(score[:real], True)),
            "d_fake": Term(losses.least_squares(score[real:], False)),
            "d_cls": Term(losses.cross_entropy(logits[:real], label), self.config.alpha),
        }

    def _generator(self, scene: Scene) -> dict[str, Term]:
        b, c = len(scene.real), self.config
        cycled = self.run(GENERATOR, with_planes(scene.fake, scene.source_label))
        score, logits = self.run(DISCRIMINATOR, torch.cat([scene.fake, cycled]))
        return {
            "g_fake": Term(losses.least_squares(score[:b], True), c.delta),
            "g_cls": Term(losses.cross_entropy(logits[:b], scene.label), c.delta),
            "g_rec": Term(losses.l1(scene.fake, scene.real), c.beta),
            "g_cycle": Term(losses.l1(cycled, scene.source), c.gamma),
            "g_cycle_fake": Term(losses.least_squares(score[b:], True), c.mu),
            "g_cycle_cls": Term(losses.cross_entropy(logits[b:], scene.source_label), c.mu),
        }

    def _of(self, batch: Batch, names: Sequence[str]) -> Tensor:
        """One contrast of each sample, [B, 1, *size]."""
        chosen = torch.tensor([[self.data.contrasts.index(name)] for name in names], device=batch.images.device)
        rows = torch.arange(len(names), device=chosen.device)[:, None]
        return as_channels(batch.images[rows, chosen], batch.dims)

    def _label(self, names: Sequence[str], like: Tensor) -> Tensor:
        """One-hot labels [B, c]."""
        number = torch.tensor([self._labels.index(name) for name in names], device=like.device)
        return F.one_hot(number, len(self._labels)).to(like.dtype)

    def _synthesize(self, images: Tensor, have: Sequence[str], want: Sequence[str]) -> tuple[Tensor, Tensor | None]:
        (name,) = self.sources(have)
        dims = self.data.dims
        source = chosen(images, have, (name,), dims)
        labels = (self._label([name] * len(source), source) for name in want)
        made = [as_contrasts(self.run(GENERATOR, with_planes(source, label)), 1, dims) for label in labels]
        return torch.cat(made, dim=1), None
