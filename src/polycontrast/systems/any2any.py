"""any2any: one network that takes whatever contrasts a patient has and makes all the others, with a confidence map.

Ours; it stands on the lineage. From TC-MGAN (Xin et al. 2020): one model for all targets, and a segmenter that keeps
tumours honest. From MM-GAN (Sharma and Hamarneh, IEEE TMI 2020): zeros for what is absent, random subsets in training.
New beside them: which contrasts are there is told by planes, slabs of adjacent slices go in and several of their middle
slices come out of one pass, every voxel has a scale, and the critic is relativistic (Jolicoeur-Martineau 2019) with
zero-centred penalties on real and fake (R3GAN: Huang et al., NeurIPS 2024, equations 2 and 3).

    G: sum of w (|real - mean| / b + log 2b) b^beta / sum of w, over a batch's voxels to be made,   w = 1 + lesion there
       + ssim (1 - SSIM) + seg Dice(S(completed), lesion)
       + adversarial E[softplus(D(real) - D(completed))]
    D: E[softplus(D(completed) - D(real))] + penalty / 2 (E|grad D(real)|^2 + E|grad D(completed)|^2)
    S: Dice(S(real), lesion)

mean and log b are the network's outputs: a Laplace distribution per voxel. b^beta is held constant (Seitzer et al.,
ICLR 2022, equation 5, for a Laplace likelihood): at beta 0 it is the likelihood, in which what cannot be known counts
little; at beta 1 the mean learns from |real - mean| as by L1 and only b from the likelihood. "Completed" is what a
patient then has: given contrasts as they are, the others as made. S never sees a fake in its own turn, so that the only
way to please it is an image on which a segmenter of real images finds the lesion.

Augmentation is drawn here, not by the data set: shape moves all contrasts alike, appearance changes what is given
alone. A term of weight 0 is not computed, and its player does not exist. Recipes train and synthesise in bfloat16 where
the device is made for it. There is no norm: nothing depends on the rest of a batch, and hardly on an image's size.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from polycontrast import losses
from polycontrast.data import appearance, augment
from polycontrast.data.appearance import Appearance
from polycontrast.data.augment import Augmentation
from polycontrast.data.batches import Batch
from polycontrast.data.configs import AnyData, DataConfig
from polycontrast.errors import UserError
from polycontrast.nets.layers import with_planes
from polycontrast.nets.scale_critic import ScaleCritic, smallest
from polycontrast.nets.segmenter import TumourSegmenter
from polycontrast.nets.slab_unet import SlabUnet
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
from polycontrast.systems.checks import check_shown, check_size
from polycontrast.systems.subsets import Subsets

_CRITIC_LEVELS, _CRITIC_SCALES = 4, 2
_LOG_SCALE = (-6.0, 1.0)  # of b in normalised units: finer than noise, coarser than any image


@dataclass(frozen=True)
class Any2anyConfig:
    """have: what may be given, any subset; want: what can be made, of which what is given is left out.

    favoured, favoured_share: a subset drawn as often as this beside all others. beta, ssim, adversarial, penalty,
    lesion, seg: as in the equations. widths, blocks: of the levels. critic_base, seg_base: the other players' widths.
    """

    name: Literal["any2any"] = "any2any"
    have: tuple[str, ...] = ("T1", "T1ce", "T2", "FLAIR")
    want: tuple[str, ...] = ("T1", "T1ce", "T2", "FLAIR")
    favoured: tuple[str, ...] = ("T2",)
    favoured_share: float = 0.4
    beta: float = 1.0
    ssim: float = 0.2
    adversarial: float = 0.0
    penalty: float = 1.0
    lesion: float = 2.0
    seg: float = 0.0
    widths: tuple[int, ...] = (96, 128, 160, 192)
    blocks: tuple[int, ...] = (2, 2, 2, 2)
    critic_base: int = 32
    seg_base: int = 32
    augmentation: Augmentation = Augmentation(rotate=12.0, scale=0.12, shift=0.05, gain=0.0, elastic=0.02)
    appearance: Appearance = Appearance()
    generator: OptimiserConfig = OptimiserConfig(((0.0, 1e-3),))
    discriminator: OptimiserConfig = OptimiserConfig(((0.0, 2e-4),), betas=(0.0, 0.99))
    segmenter: OptimiserConfig = OptimiserConfig(((0.0, 3e-4),))


@dataclass(frozen=True)
class Scene:
    """One step: given [B, H] bool; source [B, H, M, ...], the middle slices of what is given, zeros elsewhere; real,
    mean, log_scale and weight [B, W, M, ...] (weight 0 where nothing is to be made); lesion [B, M, ...]."""

    given: Tensor
    source: Tensor
    real: Tensor
    mean: Tensor
    log_scale: Tensor
    weight: Tensor
    completed: Tensor
    lesion: Tensor


class Any2any(System):
    """The network, and a critic and a segmenter where their terms have a weight."""

    any_subset = True
    reduced_precision = True
    computes_alone = True
    synthesizers = (GENERATOR,)

    def __init__(self, config: Any2anyConfig, data: AnyData) -> None:
        super().__init__(data)
        c = config
        if not isinstance(data, DataConfig) or not data.paired or data.labels or data.units != "volume":
            raise UserError(
                "any2any learns from slabs of volumes in normalised units, every contrast of the same place",
                hint='set units to "volume" and paired to true, without labels',
            )
        if data.augmentation is not None or c.augmentation.gain:
            hint = "set the data's augmentation to null and the system's gain to 0"
            raise UserError("any2any moves its images itself, and changes the look of what is given alone", hint)
        if len(c.widths) != len(c.blocks) or not c.widths:
            raise UserError(f"{len(c.widths)} widths and {len(c.blocks)} blocks", hint="give each level one of both")
        check_shown(c.name, (*c.have, *c.want), data.contrasts)
        self._subsets = Subsets(c.name, c.have, c.want, c.favoured, c.favoured_share)
        self.config, self.have, self.want, self.made = c, c.have, c.want, data.made
        self._middle = slice(data.first, data.first + data.made)
        self.usual, self.multiple = c.favoured or max(self._subsets.all, key=len), 2 ** len(c.widths)
        given, made = len(c.have) * data.slab + len(c.have), len(c.want) * data.made
        self.players = {GENERATOR: SlabUnet(given, 2 * made, c.widths, c.blocks)}
        self.optimisers = {GENERATOR: c.generator}
        if c.adversarial:
            check_size(c.name, data, smallest(_CRITIC_LEVELS, _CRITIC_SCALES))
            shown = made + len(c.have) * (data.made + 1)
            self.players[DISCRIMINATOR] = ScaleCritic(shown, _CRITIC_LEVELS, _CRITIC_SCALES, c.critic_base)
            self.optimisers[DISCRIMINATOR] = c.discriminator
        if c.seg:
            if not data.lesion:
                raise UserError("seg asks for lesions, which the data leaves out", hint="set lesion to true")
            self.multiple = max(16, self.multiple)  # the segmenter halves four times
            self.players[SEGMENTER] = TumourSegmenter(len(c.want), c.seg_base)
            self.optimisers[SEGMENTER] = c.segmenter
        self._given_at, self._made_at = ([data.contrasts.index(n) for n in names] for names in (c.have, c.want))

    def phases(self, images: int) -> list[Phase]:
        return [Phase("all", images, tuple(p for p in (DISCRIMINATOR, GENERATOR, SEGMENTER) if p in self.players))]

    def draw(self, batch: Batch, step: Step, rng: SampleRng) -> Scene:  # noqa: ARG002
        c = self.config
        moves = rng.each(lambda stream: augment.sample(c.augmentation, batch.images.shape[1], stream))
        looks = rng.each(lambda stream: appearance.sample(c.appearance, len(c.have), stream))
        images, mask, lesion = augment.apply_all(moves, (batch.images + 1) / 2, batch.mask, batch.lesion)
        given = torch.tensor(rng.each(self._subsets.draw), device=images.device)
        real = images[:, self._given_at]
        source = appearance.apply(looks, real, mask, rng.noise(real.shape[1:])) * given.view(*given.shape, 1, 1, 1)
        mean, log_scale = self._estimate(source, given)
        real, there, lesion = (x[:, :, self._middle] for x in (images[:, self._made_at], mask, lesion[:, :1]))
        known = torch.stack(
            [given[:, c.have.index(n)] if n in c.have else given.new_zeros(len(given)) for n in c.want], 1
        )
        asked = ~known.view(*known.shape, 1, 1, 1) & there
        return Scene(
            given, source[:, :, self._middle], real, mean, log_scale, asked * (1 + c.lesion * lesion),
            torch.where(asked, mean, real), lesion[:, 0],
        )  # fmt: skip

    def losses(self, player: str, scene: Scene) -> dict[str, Term]:
        if player == GENERATOR:
            return self._generator(scene)
        if player == SEGMENTER:
            return {"s_real": Term(self._dice(scene.real, scene))}
        real, fake = self._shown(scene, scene.real), self._shown(scene, scene.completed.detach())
        scores = self.run(DISCRIMINATOR, torch.cat([real, fake]))
        b, half = len(real), self.config.penalty / 2
        return {
            "d_relative": Term(losses.relativistic([s[:b] for s in scores], [s[b:] for s in scores])),
            "d_real_gp": Term(losses.zero_centred_penalty(self.players[DISCRIMINATOR], real), half),
            "d_fake_gp": Term(losses.zero_centred_penalty(self.players[DISCRIMINATOR], fake), half),
        }

    def _generator(self, scene: Scene) -> dict[str, Term]:
        c, mean, real, weight = self.config, scene.mean, scene.real, scene.weight
        terms = {"g_laplace": Term(losses.laplace(mean, scene.log_scale, real, weight, c.beta))}
        if c.ssim:
            terms["g_ssim"] = Term(losses.ssim_loss(mean, real, weight), c.ssim)
        if c.adversarial:
            b, both = len(mean), [self._shown(scene, scene.completed), self._shown(scene, real)]
            scores = self.run(DISCRIMINATOR, torch.cat(both))
            relative = losses.relativistic([s[:b] for s in scores], [s[b:] for s in scores])
            terms["g_relative"] = Term(relative, c.adversarial)
        if c.seg:
            terms["g_seg"] = Term(self._dice(scene.completed, scene), c.seg)
        return terms

    def _shown(self, scene: Scene, candidate: Tensor) -> Tensor:
        """What the critic sees: a candidate, what was given, and which contrasts those are."""
        return with_planes(torch.cat([candidate, scene.source], dim=1).flatten(1, 2), scene.given)

    def _dice(self, images: Tensor, scene: Scene) -> Tensor:
        """Of the slices of [B, W, M, H, W'], one by one."""
        probability = self.run(SEGMENTER, images.transpose(1, 2).flatten(0, 1))
        return losses.dice_loss(probability, scene.lesion.flatten(0, 1))

    def _estimate(self, source: Tensor, given: Tensor) -> tuple[Tensor, Tensor]:
        """source [B, H, K, ...] in normalised units, zeros where not given -> mean and log scale [B, W, M, ...]."""
        out = self.run(GENERATOR, with_planes(source.flatten(1, 2), given))
        mean, log_scale = out.unflatten(1, (2, len(self.want), self.made)).unbind(1)
        return mean, log_scale.clamp(*_LOG_SCALE)

    def _synthesize(self, images: Tensor, have: Sequence[str], want: Sequence[str]) -> tuple[Tensor, Tensor | None]:
        source = images.new_zeros(len(images), len(self.have), *images.shape[2:])
        source[:, [self.have.index(name) for name in have]] = (images + 1) / 2
        given = torch.tensor([name in have for name in self.have], device=images.device).expand(len(images), -1)
        mean, log_scale = self._estimate(source, given)
        wanted = [self.want.index(name) for name in want]
        return 2 * mean[:, wanted] - 1, 2 * log_scale[:, wanted].exp()
