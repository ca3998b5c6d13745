"""pix2pix's recipes. All train with batches of one: synthesis, too, normalises an image by its own statistics."""

from dataclasses import replace

from polycontrast.data.configs import DataConfig, PhotoConfig
from polycontrast.recipes.base import Recipe, TrainConfig
from polycontrast.systems.pix2pix import Pix2pixConfig

_TRAIN = TrainConfig(batch=1, epochs=200.0)
_PLAYERS = ("generator", "discriminator")


def pix2pix() -> Recipe:
    """pix2pix as published, on aligned photographs (286, of which 256 are cut, flipped): A to B, 100 + 100 epochs."""
    return Recipe("pix2pix", Pix2pixConfig(), PhotoConfig(layout="aligned", load=286, size=256, flip=True), _TRAIN)


def pix2pix_l1() -> Recipe:
    """The paper's ablation without the critic: L1 alone."""
    return replace(pix2pix(), name="pix2pix_l1", system=Pix2pixConfig(gan=0.0))


def pix2pix_cgan() -> Recipe:
    """The paper's ablation without the L1 norm: the conditional GAN alone."""
    return replace(pix2pix(), name="pix2pix_cgan", system=Pix2pixConfig(l1=0.0))


def pix2pix_mr() -> Recipe:
    """T2 to T1 at full in-plane resolution (256 mm at 1 mm), per-volume units, with the paper's networks."""
    data = DataConfig(contrasts=("T1", "T2"), extent=256.0, size=256, units="volume", lesion=False)
    system = Pix2pixConfig(have=("T2",), want=("T1",), tanh=False)
    return Recipe("pix2pix_mr", system, data, replace(_TRAIN, epochs=60.0, bfloat16=_PLAYERS))


def pix2pix_small() -> Recipe:
    """The same for two CPU cores: 128 x 128, a level less, half as wide."""
    data = DataConfig(contrasts=("T1", "T2"), extent=240.0, size=128, units="volume", lesion=False)
    system = Pix2pixConfig(have=("T2",), want=("T1",), levels=7, base=32, critic_base=32, tanh=False)
    return Recipe("pix2pix_small", system, data, replace(_TRAIN, epochs=20.0, bfloat16=_PLAYERS))


RECIPES = (pix2pix, pix2pix_l1, pix2pix_cgan, pix2pix_mr, pix2pix_small)
