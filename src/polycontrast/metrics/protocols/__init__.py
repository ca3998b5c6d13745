"""The protocols by name: the honest one, and those that others have printed."""

from polycontrast.metrics.protocols.base import Protocol, Values
from polycontrast.metrics.protocols.brasyn import BRASYN
from polycontrast.metrics.protocols.dai2020 import DAI2020
from polycontrast.metrics.protocols.polycontrast import POLYCONTRAST
from polycontrast.metrics.protocols.slice_max import SLICE_MAX

PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol for protocol in (POLYCONTRAST, BRASYN, DAI2020, SLICE_MAX)
}  # fmt: skip

__all__ = ["BRASYN", "DAI2020", "POLYCONTRAST", "PROTOCOLS", "SLICE_MAX", "Protocol", "Values"]
