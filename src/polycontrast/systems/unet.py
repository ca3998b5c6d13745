"""U-Net regression: one network and the mean absolute error, the plain baseline that every other system must beat.

Olaf Ronneberger, Philipp Fischer, Thomas Brox, "U-Net: convolutional networks for biomedical image segmentation",
MICCAI 2015 (arXiv 1505.04597): the encoder and decoder with a skip at every level. The paper segments; here the same
shape regresses every wanted contrast at once, as channels, from all that are given:

    G: E[|real - G(source)|]

What it is for: it says what can be had without a discriminator, a label or a segmenter. Another system is worth its
cost where it is better than this one. L1 asks for the median of all images that fit the source, so what the source does
not tell comes out smooth: it does well by PSNR and looks blurred, and a table should be read with that in mind.

Any number of contrasts, given and wanted: all that are given must be there, all that are wanted are made in one pass,
and a contrast's error counts as much as another's. Slices, photographs and patches alike.

How intensities are read: as the data has them. The recipes are on MR volumes in normalised units v, as 2 v - 1, which
have no bounds: the network ends linearly. Slices by their own maximum and photographs lie in [-1, 1], for which tanh is
the default. The mean runs over all pixels, background too, so its value depends on how much of an image is brain.

Recipes: `unet` (slices of 256 x 256) and `unet_small` (128 x 128), in bfloat16, and `unet_3d` (patches) make three
contrasts of T2.

Deviations from the paper, each on purpose:
* the network is pix2pix's U-Net (4x4 convolutions of stride 2 in place of pairs of 3x3 ones and pooling, padded edges)
  with instance norm: the one that TC-MGAN also trains, so that a table of systems compares their losses;
* the L1 norm in place of the cross-entropy: contrasts are no classes;
* Adam, its rate constant in the first half and then falling linearly to zero, in place of SGD with momentum 0.99.

At synthesis: instance norm uses the image itself, there is no dropout, nothing depends on the batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from polycontrast import losses
from polycontrast.data.batches import Batch
from polycontrast.data.configs import AnyData
from polycontrast.nets.skip_generator import SkipGenerator
from polycontrast.systems.base import (
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
from polycontrast.systems.checks import check_paired


@dataclass(frozen=True)
class UnetConfig:
    """have, want: the contrasts given and made, any number of each, all at once.

    levels, base: the generator's depth and width. tanh: False ends it linearly, for units that are not bounded.
    """

    name: Literal["unet"] = "unet"
    have: tuple[str, ...] = ("T2",)
    want: tuple[str, ...] = ("FLAIR", "T1ce", "T1")
    levels: int = 7
    base: int = 64
    tanh: bool = True
    generator: OptimiserConfig = falling(2e-4)


@dataclass(frozen=True)
class Scene:
    """One step: the wanted contrasts as they are and as made (with its graph), [B, len(want) * K, *size]."""

    real: Tensor
    fake: Tensor


class Unet(System):
    """One player, one term. Slices, photographs and, with `data.dims` 3, patches."""

    synthesizers = (GENERATOR,)

    def __init__(self, config: UnetConfig, data: AnyData) -> None:
        super().__init__(data)
        c, planes = config, data.channels
        check_paired(c.name, data, c.have, c.want)
        self.config, self.have, self.want = c, c.have, c.want
        self.players = {
            GENERATOR: SkipGenerator(len(c.have) * planes, len(c.want) * planes, c.levels, c.base, data.dims, c.tanh)
        }
        self.multiple = 2**c.levels
        self.optimisers = {GENERATOR: c.generator}

    def phases(self, images: int) -> list[Phase]:
        return [Phase("all", images, (GENERATOR,))]

    def draw(self, batch: Batch, step: Step, rng: SampleRng) -> Scene:  # noqa: ARG002
        source, real = (joined(batch, self.data.contrasts, names) for names in (self.have, self.want))
        return Scene(real, self.run(GENERATOR, source))

    def losses(self, player: str, scene: Scene) -> dict[str, Term]:  # noqa: ARG002
        return {"g_l1": Term(losses.l1(scene.fake, scene.real))}

    def _synthesize(self, images: Tensor, have: Sequence[str], want: Sequence[str]) -> tuple[Tensor, Tensor | None]:
        source = chosen(images, have, self.have, self.data.dims)
        made = as_contrasts(self.run(GENERATOR, source), len(self.want), self.data.dims)
        return made[:, [self.want.index(name) for name in want]], None
