"""DiscoGAN's recipes."""

from polycontrast.data.configs import DataConfig, PhotoConfig
from polycontrast.recipes.base import BFLOAT16, Recipe, TrainConfig
from polycontrast.systems.discogan import DiscoganConfig


def discogan() -> Recipe:
    """DiscoGAN as published, on photographs in `trainA/` and `trainB/`: 64 x 64, batch 64, the first rate for 10,000
    steps. The paper names no length; ours is 50,000 steps."""
    steps, batch = 50_000, 64
    system = DiscoganConfig(have=("A",), want=("B",), start=10_000 / steps)
    data = PhotoConfig(layout="unpaired", load=64, size=64, flip=False)
    return Recipe("discogan", system, data, TrainConfig(batch=batch, images=steps * batch))


def discogan_mr() -> Recipe:
    """DiscoGAN on MR slices at full in-plane resolution, T2 to T1, each contrast shuffled by itself; the critics give a
    map of scores, one for each window of 64 pixels."""
    data = DataConfig(
        contrasts=("T1", "T2"), extent=256.0, size=256, units="volume", lesion=False, paired=False
    )  # fmt: skip
    train = TrainConfig(batch=16, epochs=60.0, bfloat16=BFLOAT16)
    return Recipe("discogan_mr", DiscoganConfig(tanh=False), data, train)


def discogan_small() -> Recipe:
    """DiscoGAN that two CPU cores can train: half as wide, 128 x 128."""
    data = DataConfig(contrasts=("T1", "T2"), units="volume", lesion=False, paired=False)
    system = DiscoganConfig(base=32, critic_base=32, tanh=False)
    return Recipe("discogan_small", system, data, TrainConfig(batch=8, epochs=20.0, bfloat16=BFLOAT16))


RECIPES = (discogan, discogan_mr, discogan_small)
