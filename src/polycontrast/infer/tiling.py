"""Canonical volumes through a system that sees 3-D patches, in overlapping windows.

The brain is resampled to the model's spacing and covered by windows. Of each estimate the outer `margin` voxels, which
see too little around them, are thrown away (Dai et al. 2020: windows of 72, 48 kept); what is kept lies side by side.
"""

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
import torch

from polycontrast.data import grid, intensity
from polycontrast.data.batches import Units
from polycontrast.data.configs import PatchConfig
from polycontrast.data.intensity import Mask
from polycontrast.data.patches import covering, kept_edge, resample, steps, ways
from polycontrast.data.slabs import to_units
from polycontrast.errors import UserError
from polycontrast.infer.options import Estimate, Options
from polycontrast.io.volume import Array
from polycontrast.systems.base import System

_BATCH = 2  # windows at a time: bounds memory; no result depends on it
_MOST = 32 * 1024**3  # bytes: far more than any head needs
_BACKGROUND = -1.0  # in the system's units


def estimate(
    system: System,
    units: Units,
    raw: Sequence[Array],
    mask: Mask,
    spacing: tuple[float, float, float],
    have: Sequence[str],
    want: Sequence[str],
    device: torch.device,
    options: Options = Options(),  # noqa: ARG001, B008
) -> dict[str, Estimate]:
    """The given volumes [X, Y, Z] in file units, canonical -> the wanted in normalised units, 0 outside the mask. No
    3-D system gives a scale.

    A UserError where the model's grid over this brain would not fit in memory.
    """
    data = system.data
    assert isinstance(data, PatchConfig)
    box = grid.bounding_box(mask)
    brain = np.stack([grid.crop(intensity.fit(a, mask).apply(a, mask), box) for a in raw])
    _check_memory(brain.shape[1:], spacing, data, len(have) + len(want))
    there, back = ways(brain.shape[1:], spacing, data.spacing)

    @torch.inference_mode()
    def network(windows: Array) -> Array:
        made, _ = system.synthesize(torch.from_numpy(windows).to(device), have, want)
        return made.cpu().numpy()

    made = tiled(network, to_units(resample(brain, there), data.units), len(want), data)
    out: dict[str, Estimate] = {}
    for image, name in zip(made, want, strict=True):
        gain, offset = units[name]
        whole = grid.uncrop(resample(gain * image + offset, back), box, mask.shape)
        out[name] = (np.where(mask, whole, np.float32(0)), None)
    return out


def tiled(network: Callable[[Array], Array], volume: Array, number: int, data: PatchConfig) -> Array:
    """[C, X, Y, Z] in the system's units -> [number, X, Y, Z]: the network's estimates of windows, less their margins.

    network: windows [B, C, size, size, size] -> [B, number, size, size, size]. The volume, of any size, lies in the
    middle of the windows, which see background beyond it.
    """
    kept, margin, shape = kept_edge(data), data.margin, volume.shape[1:]
    whole = [_up(n, kept) for n in shape]
    before = [(w - n) // 2 for w, n in zip(whole, shape, strict=True)]
    around = [(margin + b, margin + w - n - b) for w, n, b in zip(whole, shape, before, strict=True)]
    padded = np.pad(volume, [(0, 0), *around], constant_values=_BACKGROUND)
    out = np.empty((number, *whole), dtype=np.float32)
    corners = list(itertools.product(*(range(0, w, kept) for w in whole)))
    for first in range(0, len(corners), _BATCH):
        chosen = corners[first : first + _BATCH]
        made = network(np.stack([_part(padded, corner, [data.size] * 3) for corner in chosen]))
        for corner, image in zip(chosen, made, strict=True):
            _part(out, corner, [kept] * 3)[:] = _part(image, [margin] * 3, [kept] * 3)
    return _part(out, before, shape)


def memory(shape: Sequence[int], spacing: Sequence[float], data: PatchConfig, volumes: int) -> int:
    """Bytes that `estimate` takes for so many volumes, given and made, of a brain of this shape and spacing in mm: as
    float32 on the file's grid and, padded to windows, on the model's. The network's own need, which depends on the
    window alone, comes on top."""
    kept = kept_edge(data)
    counts = [covering(n, step) for n, step in zip(shape, steps(spacing, data.spacing), strict=True)]
    return 4 * volumes * (math.prod(shape) + math.prod(_up(n, kept) + 2 * data.margin for n in counts))


def _check_memory(shape: Sequence[int], spacing: Sequence[float], data: PatchConfig, volumes: int) -> None:
    if (needed := memory(shape, spacing, data, volumes)) > _MOST:
        size = " x ".join(f"{n * s:.0f}" for n, s in zip(shape, spacing, strict=True))
        found = f"a brain of {size} mm would take {needed / 1024**3:.0f} GiB at {data.spacing:g} mm"
        raise UserError(found, hint="does the header give lengths in another unit than mm?")


def _up(n: int, multiple: int) -> int:
    return -(-n // multiple) * multiple


def _part(array: Array, corner: Sequence[int], size: Sequence[int]) -> Array:
    """The box of the last three axes that starts at `corner`, as a view."""
    x, y, z = (slice(c, c + n) for c, n in zip(corner, size, strict=True))
    return array[..., x, y, z]
