"""TC-MGAN's recipes."""

from polycontrast.data.augment import Augmentation
from polycontrast.data.configs import DataConfig
from polycontrast.recipes.base import BFLOAT16, Recipe, TrainConfig
from polycontrast.systems.base import OptimiserConfig
from polycontrast.systems.tcmgan import TcmganConfig


def tcmgan() -> Recipe:
    """TC-MGAN as published, with its author's weights: 128 x 128, slice maximum, 100 epochs of batch 64."""
    return Recipe("tcmgan", TcmganConfig(), DataConfig(), TrainConfig(bfloat16=BFLOAT16))


def tcmgan_report() -> Recipe:
    """TC-MGAN with the weights that the report's training log implies (rec = 1, cls = 1, gp = 10, seg 50 to 100)."""
    milestones = ((0.0, 2e-4), (30 / 124, 1e-4), (60 / 124, 5e-5), (90 / 124, 1e-5))
    adam = OptimiserConfig(milestones)
    system = TcmganConfig(
        rec=1.0, cls=1.0, seg=75.0, gp=10.0, pretrain=30 / 124, generator=adam, discriminator=adam
    )  # fmt: skip
    return Recipe("tcmgan_report", system, DataConfig(), TrainConfig(epochs=124.0, bfloat16=BFLOAT16))


def tcmgan_mr() -> Recipe:
    """TC-MGAN at full in-plane resolution (256 mm at 1 mm), per-volume units, augmented, batch 8, averaged weights.

    rec is a quarter of the author's: the L1 sum runs over four times the pixels. No random gain: what a wanted contrast
    is multiplied by, no network can guess.
    """
    data = DataConfig(extent=256.0, size=256, units="volume", augmentation=Augmentation(gain=0.0))
    train = TrainConfig(batch=8, epochs=60.0, bfloat16=BFLOAT16, ema=5000.0)
    return Recipe("tcmgan_mr", TcmganConfig(rec=0.025, tanh=False), data, train)


def tcmgan_small() -> Recipe:
    """For two CPU cores: 128 x 128, half as wide, per-volume units, the report's weights, batch 4."""
    adam = OptimiserConfig(((0.0, 2e-4), (0.3, 1e-4), (0.6, 5e-5), (0.9, 1e-5)))
    system = TcmganConfig(
        rec=1.0, cls=1.0, seg=75.0, gp=10.0, pretrain=0.2, base=32, critic_base=32, seg_base=32, tanh=False,
        generator=adam, discriminator=adam,
    )  # fmt: skip
    train = TrainConfig(batch=4, epochs=20.0, bfloat16=BFLOAT16)
    return Recipe("tcmgan_small", system, DataConfig(units="volume"), train)


def tcmgan_demo() -> Recipe:
    """A small TC-MGAN that learns phantoms at 2 mm within three minutes on two cores: five levels, a quarter wide."""
    data = DataConfig(extent=256.0, size=128, min_area=1500.0, units="volume")
    adam = OptimiserConfig(((0.0, 1e-3), (0.5, 5e-4), (0.8, 1e-4)))
    slow = OptimiserConfig(((0.0, 2e-4), (0.5, 1e-4)))
    system = TcmganConfig(
        rec=1.0, cls=1.0, seg=75.0, gp=10.0, pretrain=0.1, levels=5, base=16, critic_base=16, seg_base=16, tanh=False,
        generator=adam, discriminator=slow, segmenter=adam,
    )  # fmt: skip
    train = TrainConfig(
        batch=4, images=6000, bfloat16=BFLOAT16, ema=400.0, log_every=256, checkpoint_every=4096, preview_every=2048
    )
    return Recipe("tcmgan_demo", system, data, train)


RECIPES = (tcmgan, tcmgan_report, tcmgan_mr, tcmgan_small, tcmgan_demo)
