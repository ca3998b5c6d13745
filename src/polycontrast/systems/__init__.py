"""The published systems by name: an explicit dictionary, one line per system."""

from polycontrast.data.dataset import DataConfig
from polycontrast.systems.base import System
from polycontrast.systems.tcmgan import Tcmgan, TcmganConfig

SYSTEMS: dict[str, type[Tcmgan]] = {"tcmgan": Tcmgan}

SystemConfig = TcmganConfig


def build(config: SystemConfig, data: DataConfig) -> System:
    """The untrained system that this configuration describes."""
    return SYSTEMS[config.name](config, data)
