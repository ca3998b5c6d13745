"""UNIT's recipes."""

from polycontrast.data.configs import DataConfig, PhotoConfig
from polycontrast.recipes.base import BFLOAT16, Recipe, TrainConfig
from polycontrast.systems.unit import UnitConfig


def unit() -> Recipe:
    """UNIT as published, on photographs in `trainA/` and `trainB/`: 256 x 256, 1 M steps of batch 1.

    The released sizes to load at differ by data set (recalled); 286 is pix2pix's.
    """
    data = PhotoConfig(layout="unpaired", load=286, size=256)
    return Recipe("unit", UnitConfig(have=("A",), want=("B",)), data, TrainConfig(batch=1, images=1_000_000))


def unit_mr() -> Recipe:
    """UNIT on MR slices at full in-plane resolution, T2 to T1, each contrast shuffled by itself."""
    data = DataConfig(contrasts=("T1", "T2"), extent=256.0, size=256, units="volume", lesion=False, paired=False)
    train = TrainConfig(batch=4, epochs=60.0, bfloat16=BFLOAT16)
    return Recipe("unit_mr", UnitConfig(tanh=False), data, train)


def unit_small() -> Recipe:
    """UNIT that two CPU cores can train: half as wide, 128 x 128."""
    data = DataConfig(contrasts=("T1", "T2"), units="volume", lesion=False, paired=False)
    system = UnitConfig(base=32, critic_base=32, tanh=False)
    return Recipe("unit_small", system, data, TrainConfig(batch=2, epochs=20.0, bfloat16=BFLOAT16))


RECIPES = (unit, unit_mr, unit_small)
