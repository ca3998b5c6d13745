"""From a system's own units back to normalised units: one gain and offset per contrast, kept with the run.

So every system's volumes are written and judged in the same units, whatever normalisation its paper used.
"""

from collections.abc import Sequence

import numpy as np

from polycontrast.data import intensity
from polycontrast.data.cache import Entry
from polycontrast.data.dataset import DataConfig, read_slab, to_units

Units = dict[str, tuple[float, float]]
_STRIDE = 3  # every third slice is plenty for two numbers


def fit_units(entries: Sequence[Entry], config: DataConfig) -> Units:
    """{contrast: (gain, offset)} such that gain * x + offset is nearest, in least squares over the brain voxels of
    these cases' real images, to the normalised value of a voxel whose value in the system's units is x.

    For "volume" units the map is exact: v = x / 2 + 1 / 2.
    """
    if config.units == "volume":
        return dict.fromkeys(config.contrasts, (0.5, 0.5))
    moments = {c: np.zeros(5) for c in config.contrasts}  # n, sum x, sum v, sum x^2, sum x v
    for entry in entries:
        fits = {c: entry.intensities[entry.contrasts.index(c)] for c in config.contrasts}
        for z in np.flatnonzero((entry.area > config.min_area).all(axis=0))[::_STRIDE]:
            images, mask, _ = read_slab(entry, int(z), config)
            inside = mask.numpy()[0]
            for name, raw in zip(config.contrasts, images.numpy(), strict=True):
                x = to_units(raw, config.units)[inside].astype(np.float64)
                v = (raw[inside] - fits[name].mean) * (intensity.SD / fits[name].sd) + intensity.MEAN
                moments[name] += (x.size, x.sum(), v.sum(), (x * x).sum(), (x * v).sum())
    return {name: _line(m) for name, m in moments.items()}


def _line(moments: np.ndarray) -> tuple[float, float]:
    _, x, v, xx, xv = moments / moments[0]
    gain = (xv - x * v) / (xx - x * x)
    return float(gain), float(v - gain * x)
