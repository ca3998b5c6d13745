"""The U-Net baseline's recipes."""

from polycontrast.data.configs import DataConfig, PatchConfig
from polycontrast.recipes.base import Recipe, TrainConfig
from polycontrast.systems.unet import UnetConfig


def unet() -> Recipe:
    """T2 to the three others at full in-plane resolution (256 mm at 1 mm), per-volume units, batch 8.

    No paper states it: it is the plain baseline on MR volumes, in bfloat16.
    """
    data = DataConfig(extent=256.0, size=256, units="volume", lesion=False)
    return Recipe("unet", UnetConfig(tanh=False), data, TrainConfig(batch=8, epochs=60.0, bfloat16=("generator",)))


def unet_small() -> Recipe:
    """The same for two CPU cores: 128 x 128, half as wide."""
    data = DataConfig(extent=240.0, size=128, units="volume", lesion=False)
    train = TrainConfig(batch=4, epochs=20.0, bfloat16=("generator",))
    return Recipe("unet_small", UnetConfig(base=32, tanh=False), data, train)


def unet_3d() -> Recipe:
    """The same on patches of 96 mm at 1 mm, of whose estimates the inner 64 are kept: five levels, half as wide."""
    system = UnetConfig(levels=5, base=32, tanh=False)
    train = TrainConfig(batch=2, images=60_000)  # float32: see dai3d_small
    return Recipe("unet_3d", system, PatchConfig(size=96, margin=16), train)


RECIPES = (unet, unet_small, unet_3d)
