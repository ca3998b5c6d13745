"""How a volume is synthesised, beyond what the model decides; and what comes out."""

from dataclasses import asdict, dataclass

from polycontrast.data.configs import DataConfig, PatchConfig
from polycontrast.errors import UserError
from polycontrast.io.volume import Array, Volume

Estimate = tuple[Array, Array | None]  # an image and its scale, if the system gives one


@dataclass(frozen=True)
class Options:
    """fast: slabs 6 mm apart, and between them slices that are interpolated, guided by what is given (`between.py`).
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
            "fast": data.units != "volume" or isinstance(data, PatchConfig),
            "ensemble": not isinstance(data, DataConfig),
        }
        for name in self.chosen:
            if useless[name]:
                sees = "3-D patches" if isinstance(data, PatchConfig) else "every slice in units of its own"
                raise UserError(f"--{name} does nothing with the model {model}, which sees {sees}", hint="leave it out")


@dataclass(frozen=True, eq=False, repr=False)
class Synthetic(Volume):
    """A synthetic image. confidence: per voxel, in the image's units, how far from it the real value lies in four of
    five cases (half the width of the 80 % interval); None if the model does not tell."""

    confidence: Volume | None = None
