"""From a system's own units back to normalised units: one gain and offset per contrast, kept with the run.

So every system's volumes are written and judged in the same units, whatever normalisation its paper used.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from polycontrast.data import intensity
from polycontrast.data.batches import Outputs, Units
from polycontrast.data.cache import Entry
from polycontrast.data.configs import DataConfig
from polycontrast.data.slabs import places, read_slab, to_units

VOLUME = (0.5, 0.5)  # v = x / 2 + 1 / 2
_SLICES = 1000  # plenty for two numbers


def fit_units(entries: Sequence[Entry], config: DataConfig, outputs: Outputs | None = None) -> Units:
    """{contrast: (gain, offset)} such that gain * x + offset is nearest, in least squares over the brain voxels of the
    slices that are trained on, to the real image's normalised value; x is the value in the system's units.

    outputs: a slab [C, K, H, W] in the system's units -> {contrast: what the system makes of it, [K, H, W]}: x is then
    the system's output. A contrast it does not give (or None): x is the real image.
    A slice's own maximum is noise to the volume's units, so that the map of real values is too steep for a prediction.
    For "volume" units the map is exact whatever the system: v = x / 2 + 1 / 2. Unpaired, each contrast is fitted alone
    on real images: to set an output beside its truth would be to use the pair. Raises UserError where `places` does.
    """
    if config.units == "volume":
        return dict.fromkeys(config.contrasts, VOLUME)
    if not config.paired:
        return {
            name: fit_units(entries, replace(config, contrasts=(name,), paired=True))[name] for name in config.contrasts
        }
    moments = {c: np.zeros(5) for c in config.contrasts}  # n, sum x, sum v, sum x^2, sum x v
    shown = places(entries, config.contrasts, config)
    for entry, z in shown[:: max(1, len(shown) // _SLICES)]:
        images, mask, _ = read_slab(entry, z, config)
        raw, inside = images.numpy(), mask.numpy()[0]
        real = to_units(raw, config.units)
        made = outputs(real) if outputs is not None else {}
        for i, name in enumerate(config.contrasts):
            fit = entry.intensities[entry.contrasts.index(name)]
            x = made.get(name, real[i])[inside].astype(np.float64)
            v = (raw[i][inside] - fit.mean) * (intensity.SD / fit.sd) + intensity.MEAN
            moments[name] += (x.size, x.sum(), v.sum(), (x * x).sum(), (x * v).sum())
    return {name: _line(m) for name, m in moments.items()}


def _line(moments: np.ndarray) -> tuple[float, float]:
    _, x, v, xx, xv = moments / moments[0]
    spread = xx - x * x
    gain = (xv - x * v) / spread if spread > 1e-12 else 0.0
    return float(gain), float(v - gain * x)
