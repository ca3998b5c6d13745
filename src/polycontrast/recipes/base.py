"""What a recipe consists of."""

from dataclasses import dataclass

from polycontrast.data.configs import AnyData
from polycontrast.systems import SystemConfig

# Of these players, those that a system has. Papers' recipes are in float32, but for TC-MGAN's, whose docstring says so.
BFLOAT16 = ("generator", "discriminator", "segmenter")


@dataclass(frozen=True)
class TrainConfig:
    """The loop's part of a recipe.

    role: which cases of the split it trains on, or several roles, as "gan,train". batch: over all ranks. epochs: passes
    over the slices, used where `images` is None. bfloat16 (float32 where the device only imitates it), channels_last:
    players computed so; measured per network by benchmarks/networks.py. ema: half-life in images of the averaged
    weights, at first a tenth of the images seen; 0 for none. clip: largest gradient norm, 0 for none. pretrained: a run
    folder, or "any2any", whose weights a run begins with. checkpoint_every, preview_every, log_every: in images.
    """

    role: str = "gan"
    batch: int = 64
    epochs: float = 100.0
    images: int | None = None
    bfloat16: tuple[str, ...] = ()
    channels_last: tuple[str, ...] = ()
    ema: float = 0.0
    clip: float = 0.0
    seed: int = 0
    pretrained: str | None = None
    checkpoint_every: int = 4096
    preview_every: int = 4096
    log_every: int = 1024


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a run but the patients."""

    name: str
    system: SystemConfig
    data: AnyData
    train: TrainConfig
