"""Segmenters that were never trained: they find the same share of the brain in whatever they are shown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polycontrast.metrics.downstream import Segmenters


@dataclass
class Drawn:
    """shown: the contrasts of each call."""

    contrasts: Sequence[str]
    told: dict[str, Any]
    shown: list[tuple[str, ...]] = field(default_factory=list)

    @property
    def config(self) -> SimpleNamespace:
        return SimpleNamespace(contrasts=tuple(self.contrasts))

    def __call__(
        self, images: Mapping[str, Any], brain: NDArray[np.bool_], spacing: object
    ) -> dict[str, NDArray[np.bool_]]:
        assert len(spacing) == brain.ndim  # type: ignore[arg-type]
        self.shown.append(tuple(images))
        half = brain.copy()
        half[: brain.shape[0] // 2] = False
        return dict.fromkeys(("whole", "core", "enhancing"), half)


def pair(have: Sequence[str], want: Sequence[str], told: dict[str, Any] | None = None) -> Segmenters:
    """Those that `open_segmenters` would open. told: how they were made."""
    made = told or {}
    return Segmenters(Drawn((*have, *want), made), Drawn(have, made))  # type: ignore[arg-type]
