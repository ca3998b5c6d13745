"""CycleGAN's recipes."""

from polycontrast.data.configs import DataConfig, PhotoConfig
from polycontrast.recipes.base import BFLOAT16, Recipe, TrainConfig
from polycontrast.systems.cyclegan import CycleganConfig


def cyclegan() -> Recipe:
    """CycleGAN as published, on photographs in `trainA/` and `trainB/`: 256 x 256, batch 1, 100 + 100 epochs."""
    system = CycleganConfig(have=("A",), want=("B",))
    data = PhotoConfig(layout="unpaired", load=286, size=256)
    return Recipe("cyclegan", system, data, TrainConfig(batch=1, epochs=200.0))


def cyclegan_mr() -> Recipe:
    """CycleGAN on MR slices at full in-plane resolution, T2 to T1, each contrast shuffled by itself."""
    data = DataConfig(
        contrasts=("T1", "T2"), extent=256.0, size=256, units="volume", lesion=False, paired=False
    )  # fmt: skip
    train = TrainConfig(batch=4, epochs=60.0, bfloat16=BFLOAT16)
    return Recipe("cyclegan_mr", CycleganConfig(tanh=False), data, train)


def cyclegan_small() -> Recipe:
    """CycleGAN that two CPU cores can train: half as wide, 128 x 128, with the six blocks that the paper has for it."""
    data = DataConfig(contrasts=("T1", "T2"), units="volume", lesion=False, paired=False)
    system = CycleganConfig(blocks=6, base=32, critic_base=32, tanh=False)
    return Recipe("cyclegan_small", system, data, TrainConfig(batch=2, epochs=20.0, bfloat16=BFLOAT16))


RECIPES = (cyclegan, cyclegan_mr, cyclegan_small)
