"""Signs that an input is not what the models were trained on: told beside every result, never a refusal.

What is usual comes with the run (`typical` in config.json, from `data/descriptors.py`); without it only thick slices
and a skull are told. Each flag says what was found, what is usual and what to do; docs/explanation/flags.md measures
how often they are right.
"""

import itertools
import math
from collections.abc import Iterator, Mapping

import numpy as np

from polycontrast.data import descriptors, grid, intensity
from polycontrast.data.descriptors import APPEARANCE, SHAPE, Range, Sizes
from polycontrast.data.intensity import Mask
from polycontrast.io import formats
from polycontrast.io.volume import Array, Volume

Ranges = Mapping[str, Range]
Typical = Mapping[str, Ranges]

THICK_MM = 3.0
_MOST = {"volume_ml": 2200.0, "gap": 0.18, "thin": 0.08}  # of any brain; beyond it, a skull is there
_HOT = 1.05  # of 220 real images the SD is at most 1.023 times that without the 0.1 % at either end
_HEAD_ML = 500.0  # what is less is no head, and all of it may be thin
_CLEARLY = 4.0  # how much likelier, as a logarithm, another contrast must be before a mix-up is told
_INVERTED = "inverted"
_STRIP = "polycontrast expects skull-stripped images; strip the skull first (e.g. HD-BET, SynthStrip)"
_SHAPE_WORDS = {
    "right_mm": "{:.0f} mm from left to right",
    "front_mm": "{:.0f} mm from back to front",
    "height_mm": "{:.0f} mm high",
    "volume_ml": "{:.0f} ml",
    "mirror": "left-right symmetry {:.2f}",
    "lean": "lean {:.2f}",
    "taper": "taper {:.2f}",
}  # fmt: skip


def flags(volume: Volume, contrast: str = "", typical: Typical | None = None) -> list[str]:
    """What is unusual about a given volume, in words with a hint; empty if nothing is.

    contrast: what it is said to show. typical: the usual ranges of a run, {contrast: {descriptor: (low, high)}}.
    """
    return list(_found(volume, contrast, typical or {}).values())


def case_flags(volumes: Mapping[str, Volume], typical: Typical) -> list[str]:
    """The flags of a case's volumes by contrast; what is true of several in the words of the first, naming them all."""
    told: dict[str, dict[str, str]] = {}
    for name, volume in volumes.items():
        for kind, text in _found(volume, name, typical).items():
            told.setdefault(kind, {})[name] = text
    return [f"{', '.join(by)}: {next(iter(by.values()))}" for by in told.values()]


def _found(volume: Volume, contrast: str, typical: Typical) -> dict[str, str]:
    """{kind of flag: its sentence}. What makes others meaningless comes first and alone: skull, shape, appearance."""
    affine = volume.geometry.affine
    usable = intensity.zero_background(volume)
    array, spacing = grid.to_canonical(usable.array, affine), grid.canonical_spacing(affine)
    mask, usual = intensity.brain_mask([array]), typical.get(contrast, {})
    found = {"thick": text} if (text := _thick(max(spacing), usual)) else {}
    if volume.path is not None and formats.is_ours(volume.path):
        found["synthetic"] = "this is a synthetic image of polycontrast under the name of a real one: use the real one"
    if usable is not volume:
        value = f"{volume.array[0, 0, 0]:.2g}"
        found[f"background {value}"] = f"the background is {value} everywhere, not 0: it was taken as 0; set it to 0"
    if intensity.edges_other(array) > intensity.FEW:
        return found | {"skull": f"the background is not zero: {_STRIP}"}
    if not mask.any():
        return found
    seen = descriptors.describe(array, mask, spacing)
    if text := _skull(seen, usual):
        return found | {"skull": text}
    if text := _hot(array[mask]):
        return found | {f"hot voxels of {contrast}": text}
    if not usual:
        return found
    if text := _shape(seen, mask, spacing, usual):
        return found | {"shape": text}
    if "thick" in found:  # thick slices blur the detail by which contrasts are told apart
        return found
    if text := _appearance(seen, array, mask, spacing, contrast, typical):
        return found | {f"appearance of {contrast}": text}
    return found


def _thick(edge: float, usual: Ranges) -> str:
    low, high = usual.get("thickness_mm", (0.0, THICK_MM))
    if edge <= max(high, THICK_MM if not usual else 0.0):
        return ""
    known = f"{low / 2 + high / 2:.3g}" if usual else "1"
    return f"thick slices ({edge:.3g} mm): the models know about {known} mm; resample or acquire thinner slices"


def _skull(seen: Mapping[str, float], usual: Ranges) -> str:
    """A skull shows without knowing what is usual; training on heads would raise the limits, and on brains lower the
    volume's."""
    most = {key: max(limit, usual.get(key, (0.0, limit))[1]) for key, limit in _MOST.items()}
    most["volume_ml"] = usual.get("volume_ml", (0.0, most["volume_ml"]))[1]
    beyond = [key for key, limit in most.items() if seen.get(key, limit) > limit and seen["volume_ml"] > _HEAD_ML]
    if "gap" in beyond or "thin" in beyond:
        layer = "a dark layer lies under a bright one" if "gap" in beyond else "a thin shell lies around it"
        return f"the skull seems to be left on ({layer}, which no brain has): {_STRIP}"
    if beyond:
        found = f"{seen['volume_ml']:.0f} ml, more than a brain's (up to {most['volume_ml']:.0f} ml)"
        return f"{found}: is the skull left on, or is it another body part? {_STRIP}"
    return ""


def _hot(values: Array) -> str:
    """Few voxels that change the scale of all others, of which the brain's SD is the measure."""
    few = max(1, values.size // 1000)
    low, high = (float(np.partition(values, at)[at]) for at in (few, -few - 1))
    if values.std(dtype=np.float64) <= _HOT * np.clip(values, low, high).std(dtype=np.float64):
        return ""
    peak = values[np.argmax(np.abs(values))]
    return (
        f"a few voxels are far from all others (up to {peak:.4g}; 99.8 % lie from {low:.4g} to {high:.4g}) "
        "and change the scale of the image: clip them"
    )


def _shape(seen: Mapping[str, float], mask: Mask, spacing: Sizes, usual: Ranges) -> str:
    odd = _outside(seen, usual, SHAPE)
    if not odd:
        return ""
    words = "; ".join(f"{_SHAPE_WORDS[key].format(seen[key])}, usual {_span(key, usual[key])}" for key in odd[:3])
    if any(not _outside({**seen, **turned}, usual, SHAPE) for turned in _turned(mask, spacing)):
        hint = "it would fit if it were turned: is the header's orientation right? Correct it before synthesis"
    else:
        hint = "is it another body part, a part of a brain, or another orientation than the header says? Look at it"
    return f"not shaped like the brains known ({words}): {hint}"


def _span(key: str, limits: Range) -> str:
    digits = 0 if key.endswith(("_mm", "_ml")) else 2
    return " to ".join(f"{limit:.{digits}f}" for limit in limits)


def _turned(mask: Mask, spacing: Sizes) -> Iterator[dict[str, float]]:
    """The shape's descriptors, were the axes named otherwise; left and right are alike."""
    box = grid.bounding_box(mask)
    inside = descriptors.sampled(grid.crop(mask, box), spacing)
    if inside.sum() < descriptors.FEWEST_VOXELS:
        return
    extents = [(stop - start) * s for (start, stop), s in zip(box, spacing, strict=True)]
    for axes, front, up in itertools.product(itertools.permutations(range(3)), (1, -1), (1, -1)):
        sizes = dict(zip(("right_mm", "front_mm", "height_mm"), (extents[axis] for axis in axes), strict=True))
        yield sizes | descriptors.shape(inside.transpose(axes)[:, ::front, ::up])


def _appearance(
    seen: Mapping[str, float], array: Array, mask: Mask, spacing: Sizes, contrast: str, typical: Typical
) -> str:
    """Whether the intensities are clearly likelier those of another contrast, or inverted, or unlike all known."""
    negative = descriptors.describe(-array, mask, spacing)
    likely = {name: _log_likelihood(seen, usual) for name, usual in typical.items()}
    likely[_INVERTED] = _log_likelihood(negative, typical[contrast])
    best = max(likely, key=lambda name: likely[name])
    doubt = f"is this really a {contrast}?"
    if likely[best] - likely[contrast] > _CLEARLY:
        if best == _INVERTED:
            return f"{doubt} The intensities look inverted, dark for bright: check how the file was made"
        return f"{doubt} The intensities are more like those of a {best}: check which file is which"
    if odd := _outside(seen, typical[contrast], APPEARANCE):
        found = f"{odd[0].replace('_', ' ')} {seen[odd[0]]:.2f}, usual {_span(odd[0], typical[contrast][odd[0]])}"
        return f"{doubt} Its intensities are unlike those known ({found}): check the file and its sequence"
    return ""


def _outside(seen: Mapping[str, float], usual: Ranges, keys: Mapping[str, float]) -> list[str]:
    """Which of these descriptors lie outside their usual range."""
    return [key for key in keys if key in seen and key in usual and not usual[key][0] <= seen[key] <= usual[key][1]]


def _log_likelihood(seen: Mapping[str, float], usual: Ranges) -> float:
    """Of independent normal distributions, four standard deviations of which make half a range."""
    known = [(seen[key], *usual[key]) for key in APPEARANCE if key in seen and key in usual]
    return sum(-(((8 * value - 4 * (low + high)) / (high - low)) ** 2) / 2 - math.log(high - low)
               for value, low, high in known)  # fmt: skip
