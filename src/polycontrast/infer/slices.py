"""Canonical volumes through a system that sees framed axial slices."""

from collections.abc import Sequence

import numpy as np
import torch

from polycontrast.data import grid, intensity
from polycontrast.data.batches import Units
from polycontrast.data.configs import DataConfig
from polycontrast.data.intensity import Mask
from polycontrast.data.slabs import to_units
from polycontrast.io.volume import Array
from polycontrast.systems.base import System

_BATCH = 16  # slices at a time: bounds memory; no result depends on it


def estimate(
    system: System,
    units: Units,
    raw: Sequence[Array],
    mask: Mask,
    spacing: tuple[float, float, float],
    have: Sequence[str],
    want: Sequence[str],
    device: torch.device,
) -> dict[str, Array]:
    """The given volumes [X, Y, Z] in file units, canonical -> the wanted in normalised units, 0 outside the mask."""
    data = system.data
    assert isinstance(data, DataConfig)
    fits = [intensity.fit(array, mask) for array in raw]
    box = grid.bounding_box(mask)
    z = slice(*box[2])
    if data.units == "volume":
        stack = [f.apply(a, mask)[:, :, z] for f, a in zip(fits, raw, strict=True)]
    else:
        stack = [np.where(mask, a, np.float32(0))[:, :, z] for a in raw]
    slices = np.stack(stack).transpose(3, 0, 1, 2)  # [Z, C, X, Y]
    start, width = data.frame.place(box, mask.shape, spacing), data.frame.pixels(spacing)
    small = grid.resize(grid.cut(slices, start, width), (data.size, data.size))
    made = _network(system, to_units(small, data.units), have, want, device)
    out = {}
    for i, name in enumerate(want):
        gain, offset = units[name]
        large = grid.resize(gain * made[:, i] + offset, width)
        whole = np.zeros(mask.shape, dtype=np.float32)
        whole[:, :, z] = grid.paste(large, start, width, mask.shape[:2]).transpose(1, 2, 0)
        out[name] = np.where(mask, whole, np.float32(0))
    return out


@torch.inference_mode()
def _network(system: System, slices: Array, have: Sequence[str], want: Sequence[str], device: torch.device) -> Array:
    """[Z, len(have), size, size] in the system's units -> [Z, len(want), size, size]."""
    out = []
    for first in range(0, len(slices), _BATCH):
        batch = torch.from_numpy(slices[first : first + _BATCH])[:, :, None].to(device)
        made, _ = system.synthesize(batch, have, want)
        out.append(made[:, :, 0].cpu().numpy())
    return np.concatenate(out)
