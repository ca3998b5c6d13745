"""The published systems by name: an explicit dictionary, one line per system."""

from polycontrast.data.configs import AnyData
from polycontrast.errors import UserError
from polycontrast.systems.any2any import Any2any, Any2anyConfig
from polycontrast.systems.base import System
from polycontrast.systems.cyclegan import Cyclegan, CycleganConfig
from polycontrast.systems.dai3d import Dai3d, Dai3dConfig
from polycontrast.systems.discogan import Discogan, DiscoganConfig
from polycontrast.systems.pix2pix import Pix2pix, Pix2pixConfig
from polycontrast.systems.stargan import Stargan, StarganConfig
from polycontrast.systems.tcmgan import Tcmgan, TcmganConfig
from polycontrast.systems.unet import Unet, UnetConfig
from polycontrast.systems.unit import Unit, UnitConfig

SYSTEMS: dict[str, type[System]] = {
    "unet": Unet,
    "pix2pix": Pix2pix,
    "cyclegan": Cyclegan,
    "discogan": Discogan,
    "unit": Unit,
    "stargan": Stargan,
    "dai3d": Dai3d,
    "tcmgan": Tcmgan,
    "any2any": Any2any,
}

SystemConfig = (
    UnetConfig
    | Pix2pixConfig
    | CycleganConfig
    | DiscoganConfig
    | UnitConfig
    | StarganConfig
    | Dai3dConfig
    | TcmganConfig
    | Any2anyConfig
)


def build(config: SystemConfig, data: AnyData) -> System:
    """The untrained system that this configuration describes. A UserError says what it cannot be given."""
    system = SYSTEMS[config.name](config, data)  # type: ignore[call-arg, arg-type]
    if data.size % system.multiple:
        whole = max(1, round(data.size / system.multiple)) * system.multiple
        raise UserError(
            f"size {data.size} of the data is not a multiple of {system.multiple}, as {config.name}'s networks need",
            hint=f"set size to {whole}, or lower levels where the system has any",
        )
    return system
