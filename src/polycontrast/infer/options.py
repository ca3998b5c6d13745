"""How a volume is synthesised, beyond what the model decides; and what comes out."""

from dataclasses import asdict, dataclass

from polycontrast.data.configs import DataConfig, PatchConfig
from polycontrast.errors import UserError
from polycontrast.io.volume import Array, Volume

APART = 6.0  # mm from one slab to the next where it has to be fast
Estimate = tuple[Array, Array | None]  # an image and its scale, if the system gives one


@dataclass(frozen=True)
class Options:
    """fast: slabs as far as 6 mm apart; what lies between is filled in, guided by what is given (`between.py`).
    ensemble: the mean of the image and of what is made of the mirrored input, at twice the time."""

    fast: bool = False
    ensemble: bool = False

    @property
    def chosen(self) -> tuple[str, ...]:
        """The names of those that are on."""
        return tuple(name for name, on in asdict(self).items() if on)

    def check(self, data: DataConfig | PatchConfig, model: str) -> None:
        """UserError for an option that would do nothing with a model of such data."""
        useless = {
            "fast": isinstance(data, PatchConfig) or data.units != "volume" or data.apart >= APART,
            "ensemble": not isinstance(data, DataConfig),
        }
        for name in self.chosen:
            if useless[name]:
                nothing = f"--{name} does nothing with the model {model}, which {_why(data)}"
                raise UserError(nothing, hint="leave it out")


def _why(data: DataConfig | PatchConfig) -> str:
    if isinstance(data, PatchConfig):
        return "sees 3-D patches"
    return "sees every slice in units of its own" if data.units != "volume" else "leaves out as many slices by itself"


@dataclass(frozen=True, eq=False, repr=False)
class Synthetic(Volume):
    """A synthetic image. confidence: per voxel, in the image's units, how far from it the real value lies in four of
    five cases (half the width of the 80 % interval); None if the model does not tell."""

    confidence: Volume | None = None
