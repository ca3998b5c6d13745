"""Recipes: functions that return a complete, typed configuration of a run.

`RECIPES` lists them by name. A recipe states what the paper states; `images` (or `--images`) scales a run, and with it
the rate schedule and the pre-training, which are fractions of it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from polycontrast.config import from_dict
from polycontrast.data.augment import Augmentation
from polycontrast.data.dataset import DataConfig
from polycontrast.errors import UserError
from polycontrast.systems import SystemConfig
from polycontrast.systems.base import OptimiserConfig
from polycontrast.systems.tcmgan import TcmganConfig


@dataclass(frozen=True)
class TrainConfig:
    """The loop's part of a recipe.

    role: which cases of the split it trains on. batch: over all ranks. epochs: passes over the slices, used where
    `images` is None. bfloat16, channels_last: players computed so; measured per network by benchmarks/train_step.py.
    ema: half-life in images of the averaged weights, 0 for none. clip: largest gradient norm, 0 for none.
    checkpoint_every, preview_every, log_every: in images.
    """

    role: str = "gan"
    batch: int = 64
    epochs: float = 100.0
    images: int | None = None
    bfloat16: tuple[str, ...] = ("generator", "discriminator", "segmenter")
    channels_last: tuple[str, ...] = ()
    ema: float = 0.0
    clip: float = 0.0
    seed: int = 0
    checkpoint_every: int = 4096
    preview_every: int = 4096
    log_every: int = 1024


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a run but the patients."""

    name: str
    system: SystemConfig
    data: DataConfig
    train: TrainConfig


def tcmgan() -> Recipe:
    """TC-MGAN as published, with its author's weights: 128 x 128, slice maximum, 100 epochs of batch 64."""
    return Recipe("tcmgan", TcmganConfig(), DataConfig(), TrainConfig())


def tcmgan_report() -> Recipe:
    """TC-MGAN with the weights that the report's training log implies (rec = 1, cls = 1, gp = 10, seg 50 to 100)."""
    milestones = ((0.0, 2e-4), (30 / 124, 1e-4), (60 / 124, 5e-5), (90 / 124, 1e-5))
    adam = OptimiserConfig(milestones)
    system = TcmganConfig(
        rec=1.0, cls=1.0, seg=75.0, gp=10.0, pretrain=30 / 124, generator=adam, discriminator=adam
    )  # fmt: skip
    return Recipe("tcmgan_report", system, DataConfig(), TrainConfig(epochs=124.0))


def tcmgan_native() -> Recipe:
    """TC-MGAN at full in-plane resolution (256 mm at 1 mm), per-volume units, augmented, batch 8, averaged weights.

    rec is a quarter of the author's: the L1 sum runs over four times the pixels. No random gain: what a wanted contrast
    is multiplied by, no network can guess.
    """
    data = DataConfig(extent=256.0, size=256, units="volume", augmentation=Augmentation(gain=0.0))
    train = TrainConfig(batch=8, epochs=60.0, ema=5000.0)
    return Recipe("tcmgan_native", TcmganConfig(rec=0.025, tanh=False), data, train)


def tcmgan_demo() -> Recipe:
    """A small TC-MGAN that learns phantoms at 2 mm within three minutes on two cores: five levels, a quarter wide."""
    data = DataConfig(extent=256.0, size=128, min_area=1500.0, units="volume")
    adam = OptimiserConfig(((0.0, 1e-3), (0.5, 5e-4), (0.8, 1e-4)))
    slow = OptimiserConfig(((0.0, 2e-4), (0.5, 1e-4)))
    system = TcmganConfig(
        rec=1.0, cls=1.0, seg=75.0, gp=10.0, pretrain=0.1, levels=5, base=16, critic_base=16, seg_base=16, tanh=False,
        generator=adam, discriminator=slow, segmenter=adam,
    )  # fmt: skip
    train = TrainConfig(batch=4, images=6000, ema=400.0, log_every=256, checkpoint_every=4096, preview_every=2048)
    return Recipe("tcmgan_demo", system, data, train)


RECIPES: dict[str, Callable[[], Recipe]] = {
    "tcmgan": tcmgan,
    "tcmgan_report": tcmgan_report,
    "tcmgan_native": tcmgan_native,
    "tcmgan_demo": tcmgan_demo,
}


def recipe(name: str) -> Recipe:
    """The recipe of this name; a UserError lists the known ones."""
    if name not in RECIPES:
        raise UserError(f"no recipe named {name!r}", hint=f"there are: {', '.join(RECIPES)}")
    return RECIPES[name]()


def from_json(values: dict[str, Any]) -> Recipe:
    """A recipe as a run's config.json holds it."""
    return from_dict(Recipe, values, "recipe")


def with_length(recipe: Recipe, slices: int) -> Recipe:
    """The recipe with `images` settled: as given, or `epochs` passes over this many slices, in whole batches."""
    train = recipe.train
    images = train.images if train.images is not None else round(train.epochs * slices)
    whole = max(1, round(images / train.batch)) * train.batch
    return replace(recipe, train=replace(train, images=whole))
