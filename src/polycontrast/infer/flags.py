"""Signs that an input is not what the models were trained on: told beside every result, never a refusal."""

import numpy as np

from polycontrast.io.volume import Volume

THICK_MM = 3.0
_BORDER = 0.25


def flags(volume: Volume) -> list[str]:
    """What is unusual about a given volume, in words with a hint; empty if nothing is."""
    found = []
    if (thick := max(volume.geometry.spacing)) > THICK_MM:
        found.append(f"thick slices ({thick:.3g} mm): the models know about 1 mm; resample or acquire finer")
    if _border_filled(volume.array) > _BORDER:
        found.append("the background is not zero: skull-stripped images are expected; strip the skull first")
    return found


def _border_filled(array: np.ndarray) -> float:
    """The share of non-zero voxels on the six faces of the volume."""
    faces = [np.take(array, edge, axis=axis).ravel() for axis in range(3) for edge in (0, -1)]
    return float(np.mean(np.concatenate(faces) != 0))
