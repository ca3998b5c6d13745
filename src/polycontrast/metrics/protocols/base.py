"""What a protocol is: in which units, where and over which range a prediction is judged, by which measures."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from polycontrast.io.volume import Array
from polycontrast.metrics.reference import Reference

Values = dict[str, float | None]


@dataclass(frozen=True)
class Protocol:
    """A way to judge, by name.

    description: normalisation, mask, data_range, and every other assumption; written in every output. regions,
    columns: what `judge` returns for a prediction in normalised units, {region: {column: value, None if undefined}}.
    """

    name: str
    description: Mapping[str, str]
    regions: tuple[str, ...]
    columns: tuple[str, ...]
    judge: Callable[[Reference, Array], dict[str, Values]]
