"""any2any's recipes."""

from dataclasses import replace

from polycontrast.data.configs import DataConfig
from polycontrast.recipes.base import BFLOAT16, Recipe, TrainConfig
from polycontrast.systems.any2any import Any2anyConfig
from polycontrast.systems.base import OptimiserConfig


def cosine(rate: float, warm: float = 0.02) -> OptimiserConfig:
    """Adam whose rate rises linearly, then falls along half a cosine, by straight pieces."""
    falling = ((0.25, 0.854), (0.5, 0.5), (0.75, 0.146), (0.9, 0.0245), (1.0, 0.0))
    points = tuple((warm + (1 - warm) * f, rate * share) for f, share in falling)
    return OptimiserConfig(((0.0, rate / 100), (warm, rate), *points), betas=(0.9, 0.99), linear=True)


# The rates of a critic and of a segmenter are for variants that have them (benchmarks/ablate.py).
_SYSTEM = Any2anyConfig(
    favoured_share=0.3, ssim=1.0, generator=cosine(1e-3), discriminator=cosine(2e-4), segmenter=cosine(3e-4)
)


def any2any() -> Recipe:
    """The shipped model: slabs of four slices at 1 mm, 4 mm apart, of which the middle two are made."""
    data = DataConfig(
        extent=192.0, size=192, units="volume", min_area=1000.0, slab=4, made=2,
        apart=4.0, cropped=True, centred=True,
    )  # fmt: skip
    train = TrainConfig(
        batch=32, images=240_000, bfloat16=BFLOAT16, channels_last=("generator",), ema=4000.0, clip=1.0,
        checkpoint_every=20_000, preview_every=80_000, log_every=4000,
    )  # fmt: skip
    return Recipe("any2any", _SYSTEM, data, train)


def any2any_small() -> Recipe:
    """The same for two CPU cores: half as wide and as deep, a twelfth of the images, batch 8, a third of the steps."""
    full = any2any()
    system = replace(_SYSTEM, widths=(48, 64, 96, 96), blocks=(1, 1, 1, 1), seg_base=16, critic_base=16)
    train = replace(full.train, batch=8, images=20_000, ema=1000.0, log_every=500, checkpoint_every=2000)
    return replace(full, name="any2any_small", system=system, train=train)


def any2any_further() -> Recipe:
    """On from the shipped weights, at half the rate and batch: on two CPU cores with bfloat16 in an hour and a half."""
    full = any2any()
    system = replace(_SYSTEM, generator=cosine(5e-4))
    train = replace(full.train, batch=16, images=22_400, pretrained="any2any", log_every=1600, checkpoint_every=1600)
    return replace(full, name="any2any_further", system=system, train=train)


RECIPES = (any2any, any2any_small, any2any_further)
