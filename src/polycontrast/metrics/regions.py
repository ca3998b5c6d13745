"""Where a prediction is judged: the brain, the tumour's parts, what surrounds it, and what is healthy.

A region that is empty, or that the segmentation cannot tell, has no voxels: measures have no value there.
"""

import numpy as np
from scipy import ndimage

from polycontrast.data.grid import bounding_box
from polycontrast.data.intensity import Mask

RING = 10.0  # mm around the whole tumour: where oedema and infiltration are told from healthy tissue
REGIONS = ("brain", "tumour", "core", "enhancing", "ring", "healthy", "volume")
DESCRIPTION = (
    "brain: voxels non-zero in any real contrast of the case, holes filled; tumour, core, enhancing: the BraTS regions "
    f"of the segmentation; ring: brain outside the tumour and at most {RING:g} mm from it; healthy: brain that is "
    "neither tumour nor ring; volume: every voxel, zero background included. A region without voxels has no value"
)


def regions(brain: Mask, segmented: dict[str, Mask] | None, spacing: tuple[float, float, float]) -> dict[str, Mask]:
    """Every region by name, masks [X, Y, Z] on the brain's grid; `brain` itself is one of them.

    segmented: the masks "whole", "core", "enhancing", or None where nobody has said what is tumour: then nothing is
    known to be healthy either. spacing: voxel edges in mm.
    """
    none = np.zeros(brain.shape, dtype=bool)
    if segmented is None:
        tumour, core, enhancing, ring, healthy = none, none, none, none, none
    else:
        tumour, core, enhancing = (segmented[name] for name in ("whole", "core", "enhancing"))
        near = _near(tumour, spacing)
        ring, healthy = brain & near & ~tumour, brain & ~near
    masks = (brain, tumour, core, enhancing, ring, healthy, np.ones(brain.shape, dtype=bool))
    return dict(zip(REGIONS, masks, strict=True))


def _near(tumour: Mask, spacing: tuple[float, float, float]) -> Mask:
    """The tumour and all voxels at most RING mm from it."""
    near = np.zeros_like(tumour)
    if tumour.any():
        reach = [int(RING / mm) + 1 for mm in spacing]
        sides = zip(bounding_box(tumour), reach, strict=True)
        box = tuple(slice(max(0, start - r), stop + r) for (start, stop), r in sides)
        near[box] = ndimage.distance_transform_edt(~tumour[box], sampling=spacing) <= RING
    return near
