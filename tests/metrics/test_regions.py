"""The regions of a drawn brain with a drawn tumour."""

import numpy as np

from polycontrast.metrics.regions import REGIONS, RING, regions

SPACING = (1.0, 2.0, 4.0)


def drawn(tumour_radius):
    """A box-shaped brain, and a tumour around its middle, in voxels of 1 x 2 x 4 mm."""
    brain = np.zeros((60, 40, 20), dtype=bool)
    brain[4:56, 4:36, 2:18] = True
    from_middle = [(i - n // 2) * mm for i, n, mm in zip(np.indices(brain.shape), brain.shape, SPACING, strict=True)]
    far = np.sqrt(sum(d * d for d in from_middle))
    masks = {name: far <= part * tumour_radius for name, part in (("whole", 1), ("core", 0.6), ("enhancing", 0.3))}
    return brain, {name: mask & brain for name, mask in masks.items()}, far


def test_ring_and_healthy_brain_share_what_is_not_tumour():
    brain, segmented, far = drawn(9.0)
    found = regions(brain, segmented, SPACING)
    assert tuple(found) == REGIONS
    parts = [found[name] for name in ("tumour", "ring", "healthy")]
    assert np.array_equal(sum(part.astype(int) for part in parts), brain)
    assert far[found["ring"]].max() <= 9.0 + RING
    assert far[found["healthy"]].min() > 9.0 + RING - 4.0  # the tumour's surface is a voxel's centre, not 9 mm exactly


def test_the_ring_is_measured_in_mm_along_every_axis():
    brain = np.ones((41, 41, 41), dtype=bool)
    tumour = np.zeros_like(brain)
    tumour[20, 20, 20] = True
    ring = regions(brain, dict.fromkeys(("whole", "core", "enhancing"), tumour), SPACING)["ring"]
    reach = [int(np.ptp(np.flatnonzero(ring.any(axis=tuple({0, 1, 2} - {axis}))))) // 2 for axis in range(3)]
    assert reach == [10, 5, 2]


def test_without_a_tumour_the_whole_brain_is_healthy():
    brain, segmented, _ = drawn(9.0)
    none = {name: np.zeros_like(mask) for name, mask in segmented.items()}
    found = regions(brain, none, SPACING)
    assert np.array_equal(found["healthy"], brain)
    assert not found["ring"].any()


def test_without_a_segmentation_nothing_is_known_to_be_healthy():
    brain, _, _ = drawn(9.0)
    found = regions(brain, None, SPACING)
    assert {name for name, mask in found.items() if mask.any()} == {"brain", "volume"}


def test_the_brain_is_the_mask_itself_so_that_measures_of_whole_slices_know_it():
    brain, segmented, _ = drawn(9.0)
    assert regions(brain, segmented, SPACING)["brain"] is brain
