"""How a volume is synthesised, beyond what the model decides; and what comes out."""

from dataclasses import dataclass

from polycontrast.io.volume import Array, Volume

Estimate = tuple[Array, Array | None]  # an image and its scale, if the system gives one


@dataclass(frozen=True)
class Options:
    """fast: on a coarser grid, for models that see no more than the brain. ensemble: the mean of the image and of what
    is made of the mirrored input, at twice the time."""

    fast: bool = False
    ensemble: bool = False


@dataclass(frozen=True, eq=False, repr=False)
class Synthetic(Volume):
    """A synthetic image. confidence: per voxel, in the image's units, how far from it the real value lies in four of
    five cases (half the width of the 80 % interval); None if the model does not tell."""

    confidence: Volume | None = None
