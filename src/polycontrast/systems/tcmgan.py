"""TC-MGAN: one generator, one discriminator and a segmenter that keeps tumours honest.

Bingyu Xin, Yifan Hu, Yefeng Zheng, Hongen Liao, "Multi-modality generative adversarial networks with tumor consistency
loss for brain MR image synthesis", ISBI 2020 (arXiv 2005.00925). Implemented: the adversarial loss with gradient
penalty (1), the classification loss (2), the paired L1 (3), the tumour-consistency Dice (4) and the full objectives.

    D: -E[sum D(real, s)] + E[sum D(fake, s)] + cls BCE(class of real) + gp GP
    G: -E[sum D(fake, s)] + cls BCE(class of fake) + rec E[sum |real - fake|] + seg Dice(S(fake, c), lesion)
    S: 0.7 Dice(S(fake, c)) + 0.3 Dice(S(real, c))

s is the source image, c the target contrast's one-hot planes; every sample draws one target per step.

Deviations from the released code, each on purpose:
* the generator runs forward once a step: its fake serves all three turns. The released code runs it three times, so
  there the segmenter's turn sees the generator one update later;
* weights are parameters of the configuration (the released code leaves them undefined);
* generator and segmenter are saved apart (the released code writes one over the other);
* roles come from a split file by subject (the released split depends on hash and file order);
* the segmenter's pre-training is counted in images, so that it scales with a run's length;
* several source contrasts may be given, as channels; the paper has one;
* networks run in bfloat16 where the recipe says so, in all of ours; losses and the penalty stay in float32.

At synthesis: instance norm uses the slice itself, there is no dropout, nothing depends on the batch. The segmenter is
not used. While the generator takes its turn, the segmenter stays in training mode (batch statistics), as released.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from polycontrast import losses
from polycontrast.data.batches import Batch
from polycontrast.data.configs import AnyData, DataConfig
from polycontrast.errors import UserError
from polycontrast.nets.critic import StarCritic
from polycontrast.nets.layers import with_planes
from polycontrast.nets.segmenter import TumourSegmenter
from polycontrast.nets.skip_generator import SkipGenerator
from polycontrast.systems.base import (
    DISCRIMINATOR,
    GENERATOR,
    SEGMENTER,
    OptimiserConfig,
    Phase,
    SampleRng,
    Step,
    System,
    Term,
)
from polycontrast.systems.channels import chosen, joined
from polycontrast.systems.checks import check_paired, check_size

_CRITIC_LEVELS = 5


@dataclass(frozen=True)
class TcmganConfig:
    """have: the source contrasts (the paper's: T2 alone); want: the targets in the order of their label planes.

    rec, cls, seg, gp: the weights of the terms. seg_fake, seg_real: the segmenter's two shares. pretrain: how many
    images the segmenter is trained on first, per image of the training proper. levels, base: the generator's depth and
    width; critic_base, seg_base: the widths of the other two. tanh: False ends the generator
    linearly, for units that are not bounded.
    """

    name: Literal["tcmgan"] = "tcmgan"
    have: tuple[str, ...] = ("T2",)
    want: tuple[str, ...] = ("FLAIR", "T1ce", "T1")
    rec: float = 0.1
    cls: float = 10.0
    seg: float = 50.0
    gp: float = 100.0
    seg_fake: float = 0.7
    seg_real: float = 0.3
    pretrain: float = 0.3
    levels: int = 7
    base: int = 64
    critic_base: int = 64
    seg_base: int = 64
    tanh: bool = True
    generator: OptimiserConfig = OptimiserConfig(((0.0, 2e-4), (0.3, 1e-4), (0.6, 5e-5), (0.9, 1e-5)))
    discriminator: OptimiserConfig = OptimiserConfig(((0.0, 2e-4), (0.3, 1e-4), (0.6, 5e-5), (0.9, 1e-5)))
    segmenter: OptimiserConfig = OptimiserConfig(((0.0, 1e-4),))


@dataclass(frozen=True)
class Scene:
    """One step: source, the drawn target and its label, the lesion, the fake (with its graph) and GP's mixing."""

    source: Tensor
    real: Tensor
    label: Tensor
    lesion: Tensor
    fake: Tensor | None
    mix: Tensor


class Tcmgan(System):
    """The three players and their turns, as the module's docstring tells."""

    synthesizers = (GENERATOR,)

    def __init__(self, config: TcmganConfig, data: AnyData) -> None:
        super().__init__(data)
        c = config
        check_paired(c.name, data, c.have, c.want)
        if not isinstance(data, DataConfig):
            raise UserError("tcmgan sees slices of volumes", hint="see the recipe tcmgan_mr")
        if not data.lesion:
            raise UserError(
                "tcmgan learns from the lesion: with lesion false it would take a missing segmentation for health",
                hint="set lesion to true; unet and pix2pix need no segmentation",
            )
        check_size(c.name, data, 2**_CRITIC_LEVELS)
        self.config, self.have, self.want = c, c.have, c.want
        n = len(c.want)
        self.players = {
            DISCRIMINATOR: StarCritic(len(c.have) + 1, n, data.size, _CRITIC_LEVELS, c.critic_base),
            GENERATOR: SkipGenerator(len(c.have) + n, 1, c.levels, c.base, tanh=c.tanh),
            SEGMENTER: TumourSegmenter(1 + n, c.seg_base),
        }
        self.multiple = max(16, 2**c.levels)  # the segmenter halves four times
        self.optimisers = {GENERATOR: c.generator, DISCRIMINATOR: c.discriminator, SEGMENTER: c.segmenter}
        self._targets = [data.contrasts.index(w) for w in c.want]

    def phases(self, images: int) -> list[Phase]:
        first = Phase("segmenter", round(images * self.config.pretrain), (SEGMENTER,))
        return [first, Phase("all", images, (DISCRIMINATOR, GENERATOR, SEGMENTER))]

    def draw(self, batch: Batch, step: Step, rng: SampleRng) -> Scene:
        drawn = rng.integers(len(self.want))
        targets = torch.tensor(self._targets, device=drawn.device)[drawn]
        source = joined(batch, self.data.contrasts, self.have)
        scene = Scene(
            source=source,
            real=batch.images[torch.arange(len(drawn), device=drawn.device), targets],
            label=torch.nn.functional.one_hot(drawn, len(self.want)).to(source.dtype),
            lesion=batch.lesion[:, :1, 0],
            fake=None,
            mix=rng.uniform(),
        )
        if GENERATOR not in step.turns:
            return scene
        return replace(scene, fake=self.run(GENERATOR, with_planes(source, scene.label)))

    def losses(self, player: str, scene: Scene) -> dict[str, Term]:
        if scene.fake is None:
            return {"s_real": Term(self._dice(scene.real, scene))}
        if player == DISCRIMINATOR:
            return self._discriminator(scene, scene.fake.detach())
        if player == GENERATOR:
            return self._generator(scene, scene.fake)
        return {
            "s_fake": Term(self._dice(scene.fake.detach(), scene), self.config.seg_fake),
            "s_real": Term(self._dice(scene.real, scene), self.config.seg_real),
        }

    def _discriminator(self, scene: Scene, fake: Tensor) -> dict[str, Term]:
        b = len(fake)
        # The critic has no norm layer, so real and fake can share one pass.
        pairs = torch.cat([torch.cat([scene.real, fake]), torch.cat([scene.source, scene.source])], dim=1)
        score, logits = self.run(DISCRIMINATOR, pairs)

        def critic(x: Tensor) -> Tensor:
            out: Tensor = self.players[DISCRIMINATOR](torch.cat([x, scene.source], dim=1))[0]
            return out

        return {
            "d_real": Term(-losses.critic_score(score[:b])),
            "d_fake": Term(losses.critic_score(score[b:])),
            "d_cls": Term(losses.classification(logits[:b], scene.label), self.config.cls),
            "d_gp": Term(losses.gradient_penalty(critic, scene.real, fake, scene.mix), self.config.gp),
        }

    def _generator(self, scene: Scene, fake: Tensor) -> dict[str, Term]:
        score, logits = self.run(DISCRIMINATOR, torch.cat([fake, scene.source], dim=1))
        return {
            "g_fake": Term(-losses.critic_score(score)),
            "g_cls": Term(losses.classification(logits, scene.label), self.config.cls),
            "g_rec": Term(losses.l1_sum(fake, scene.real), self.config.rec),
            "g_seg": Term(self._dice(fake, scene), self.config.seg),
        }

    def _dice(self, image: Tensor, scene: Scene) -> Tensor:
        return losses.dice_loss(self.run(SEGMENTER, with_planes(image, scene.label)), scene.lesion)

    def _synthesize(self, images: Tensor, have: Sequence[str], want: Sequence[str]) -> tuple[Tensor, Tensor | None]:
        source = chosen(images, have, self.have, self.data.dims)
        out = []
        for name in want:
            label = source.new_zeros(len(source), len(self.want))
            label[:, self.want.index(name)] = 1
            out.append(self.run(GENERATOR, with_planes(source, label)))
        return torch.stack(out, dim=1), None
