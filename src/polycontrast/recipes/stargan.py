"""StarGAN's recipes."""

from polycontrast.contrasts import DEFAULT
from polycontrast.data.configs import DataConfig, PhotoConfig, PhotoSet
from polycontrast.recipes.base import Recipe, TrainConfig
from polycontrast.systems.stargan import StarganConfig

_PLAYERS = ("generator", "discriminator")
_ATTRIBUTES = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Male", "Young")
_EXPRESSIONS = ("angry", "contemptuous", "disgusted", "fearful", "happy", "neutral", "sad", "surprised")
_CELEBA = PhotoSet("celeba", _ATTRIBUTES, crop=178, held_out=2000)
_RAFD = PhotoSet("rafd", _EXPRESSIONS, crop=256, held_out=482)
_STEPS = 200_000  # of the discriminator; a fifth as many of the generator


def stargan() -> Recipe:
    """StarGAN as published, on CelebA: five attributes, 178 -> 128, 2,000 faces held out, 200,000 steps of batch 16."""
    return _published("stargan", (_CELEBA,), (False,))


def stargan_rafd() -> Recipe:
    """StarGAN as published, on RaFD: eight expressions, 256 -> 128, a tenth of the 4,824 photographs held out."""
    return _published("stargan_rafd", (_RAFD,), (True,))


def stargan_joint() -> Recipe:
    """StarGAN as published, on CelebA and RaFD by the mask vector: what only one data set tells, asked of either.

    The released training takes a batch of each data set in every iteration (recalled): so there are twice as many
    images here, 200,000 steps of each.
    """
    return _published("stargan_joint", (_CELEBA, _RAFD), (False, True))


def _published(name: str, sets: tuple[PhotoSet, ...], exclusive: tuple[bool, ...]) -> Recipe:
    data = PhotoConfig(layout="labelled", contrasts=("photograph",), load=128, size=128, sets=sets)
    want = tuple(label for one in sets for label in one.labels)
    system = StarganConfig(have=("photograph",), want=want, exclusive=exclusive)
    return Recipe(name, system, data, TrainConfig(batch=16, images=16 * _STEPS * len(sets)))


def stargan_mr() -> Recipe:
    """StarGAN on MR slices of 256 mm at 1 mm in per-volume units: any of four contrasts to any other; batch 8."""
    data = DataConfig(extent=256.0, size=256, units="volume", lesion=False, labels=(DEFAULT,))
    train = TrainConfig(batch=8, images=8 * _STEPS, bfloat16=_PLAYERS)
    return Recipe("stargan_mr", StarganConfig(tanh=False), data, train)


def stargan_two() -> Recipe:
    """As `stargan_mr`, with the mask vector: a cohort with T1, T1ce, T2, FLAIR and one with T1, T2, PD."""
    system = StarganConfig(
        have=("T2", "FLAIR", "T1ce", "T1", "PD"), want=("FLAIR", "T1ce", "T1", "T2", "PD"), exclusive=(True, True),
        tanh=False,
    )  # fmt: skip
    data = DataConfig(
        contrasts=(*DEFAULT, "PD"), extent=256.0, size=256, units="volume", lesion=False,
        labels=(DEFAULT, ("T1", "T2", "PD")),
    )  # fmt: skip
    return Recipe("stargan_two", system, data, stargan_mr().train)


def stargan_small() -> Recipe:
    """As `stargan_mr`, for two CPU cores: 128 x 128, half as wide, batch 4, 20,000 steps."""
    data = DataConfig(extent=240.0, size=128, units="volume", lesion=False, labels=(DEFAULT,))
    train = TrainConfig(batch=4, images=4 * _STEPS // 10, bfloat16=_PLAYERS)
    return Recipe("stargan_small", StarganConfig(base=32, critic_base=32, tanh=False), data, train)


RECIPES = (stargan, stargan_rafd, stargan_joint, stargan_mr, stargan_two, stargan_small)
