"""The recipes of Dai et al.'s unified GAN. It was born on MR volumes: there is no other recipe for them."""

from polycontrast.data.configs import PatchConfig
from polycontrast.recipes.base import Recipe, TrainConfig
from polycontrast.systems.dai3d import Dai3dConfig


def dai3d() -> Recipe:
    """Patches of 72 at 1 mm, of whose estimates 48 are kept, with the published weights. Batch 2 and 200 passes are
    ours: the paper's are not public. Its five folds are the split file's affair."""
    return Recipe("dai3d", Dai3dConfig(), PatchConfig(), TrainConfig(batch=2, epochs=200.0))


def dai3d_small() -> Recipe:
    """For two CPU cores: patches of 40 at 2 mm, of whose estimates 28 are kept; half as wide.

    In float32: on CPUs, in torch 2.13, the bf16 gradient of a 3-D convolution whose kernel is larger than what is left
    of the patch (the critic's last, 3x3x3 on 2x2x2) holds uninitialised memory, and soon the weights are not finite.
    """
    data = PatchConfig(spacing=2.0, size=40, margin=6)
    train = TrainConfig(batch=2, epochs=200.0)
    return Recipe("dai3d_small", Dai3dConfig(base=32, critic_base=32), data, train)


RECIPES = (dai3d, dai3d_small)
