"""Slices between known ones: detail from the guides, the known as they were, no hole where nothing is known."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from polycontrast.infer.between import guided, interpolate
from polycontrast.io.volume import Array

from .conftest import brain

CPU = torch.device("cpu")
SHAPE, SPACING = (26, 21, 25), (2.0, 3.0)
KNOWN = np.array([0, 1, 8, 9, 16, 17, 23, 24])
MASK = (brain(SHAPE) != 0).transpose(2, 0, 1)
WHERE = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in MASK.shape), indexing="ij")).astype(np.float32)


def texture(seed: int) -> Array:
    """What is given: detail of its own in every slice, 0 outside the brain."""
    return np.random.default_rng(seed).uniform(0, 1, MASK.shape).astype(np.float32) * MASK


def filled(image: Array, *guides: Array, known: np.ndarray = KNOWN) -> Array:
    (found,), _ = guided([image[known]], [], known, np.stack(guides), MASK, SPACING, CPU)
    return found


def between(values: Array, known: np.ndarray, depth: int = len(MASK)) -> Array:
    return interpolate(torch.from_numpy(values), known, depth).numpy()


def errors(found: Array, truth: Array) -> float:
    return float(np.abs(found - truth)[MASK].mean() / truth[MASK].std())


@pytest.mark.parametrize("guides", [1, 2, 3])
def test_what_follows_the_given_images_is_found_again_to_its_detail(guides: int) -> None:
    given = [texture(seed) for seed in range(guides)]
    drifting = [0.8 - 0.3 * i + 0.2 * WHERE[i % 3] for i in range(guides)]
    truth = sum((slope * g for slope, g in zip(drifting, given, strict=True)), 0.1 * WHERE[0] + 0.3) * MASK
    assert errors(filled(truth, *given), truth) < 0.1
    assert errors(between(truth[KNOWN], KNOWN), truth) > 0.4


def test_known_slices_stay_as_they_are_and_nothing_lies_outside_the_brain() -> None:
    image, scale = texture(1), 0.1 + texture(2)
    images, scales = guided([image[KNOWN]], [scale[KNOWN]], KNOWN, texture(3)[None], MASK, SPACING, CPU)
    for found, truth in ((images[0], image), (scales[0], scale * MASK)):
        np.testing.assert_allclose(found[KNOWN], truth[KNOWN], atol=1e-5)
        assert not found[~MASK].any()


def test_a_guide_without_detail_leaves_plain_interpolation() -> None:
    whole = np.ones_like(MASK)
    image = np.random.default_rng(0).uniform(0, 1, MASK.shape).astype(np.float32)
    (found,), _ = guided([image[KNOWN]], [], KNOWN, np.full((1, *MASK.shape), 0.5, np.float32), whole, SPACING, CPU)
    np.testing.assert_allclose(found, between(image[KNOWN], KNOWN), atol=1e-5)


@given(seed=st.integers(0, 99), known=st.sets(st.integers(0, 24), min_size=1))
def test_scales_stay_within_what_is_known_of_them(seed: int, known: set[int]) -> None:
    scale, at = texture(seed) + np.float32(0.05), np.array(sorted(known | {12}))
    _, (found,) = guided([], [scale[at]], at, texture(seed + 1)[None], MASK, SPACING, CPU)
    told = scale[at][MASK[at]]
    assert told.min() * 0.999 <= found[MASK].min()
    assert found[MASK].max() <= told.max() * 1.001


def test_brain_where_no_known_slice_has_any_gets_what_lies_around_it() -> None:
    image = np.where(MASK, np.float32(0.7), np.float32(0))
    found = filled(image, texture(0), known=np.array([2, 22]))
    np.testing.assert_allclose(found[MASK], 0.7, atol=1e-3)


def test_a_bright_vessel_in_no_known_slice_does_not_leave_the_range_of_what_is_known() -> None:
    guide = texture(6)
    image = (0.9 - 0.8 * guide) * MASK
    guide[12, 12:15, 10:13] = 8.0
    found = filled(image, guide)
    assert image[KNOWN].min() - 1e-5 <= found.min()
    assert found.max() <= image[KNOWN].max() + 1e-5


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_mirrored_volume_gives_the_mirrored_result(axis: int) -> None:
    image, guide = texture(4), texture(5)
    known = KNOWN if axis else len(MASK) - 1 - KNOWN[::-1]
    turned = [np.flip(x, axis) for x in (image, guide, MASK)]
    (found,), _ = guided([turned[0][known]], [], known, turned[1][None], turned[2], SPACING, CPU)
    np.testing.assert_allclose(np.flip(found, axis), filled(image, guide), atol=1e-4)


@pytest.mark.parametrize(
    ("known", "expected"),
    [([2], [5, 5, 5, 5]), ([0, 3], [5, 6, 7, 8]), ([1, 2], [5, 5, 8, 8]), ([0, 1, 2, 3], [5, 6, 8, 2])],
)
def test_between_known_slices_it_is_linear_and_beyond_them_constant(
    known: Sequence[int], expected: Sequence[float]
) -> None:
    values = {1: [5.0], 2: [5.0, 8.0], 4: [5.0, 6.0, 8.0, 2.0]}[len(known)]
    found = between(np.array(values, np.float32)[:, None], np.array(known), 4)
    np.testing.assert_allclose(found[:, 0], expected)


def test_windows_reach_as_many_mm_along_both_axes() -> None:
    """A pixel that stands out in a made slice changes slopes, and so what lies between, 4 mm around it."""
    shape, spacing = (3, 41, 31), (1.0, 2.0)
    whole, known = np.ones(shape, bool), np.array([0, 2])
    image, guide = (np.random.default_rng(seed).uniform(0, 1, shape).astype(np.float32) for seed in (0, 1))
    changed = image.copy()
    changed[0, 20, 15] = 1 - image[0, 20, 15]  # within what is known
    (before,), (after,) = (guided([x[known]], [], known, guide[None], whole, spacing, CPU)[0] for x in (image, changed))
    x, y = np.nonzero(np.abs(after - before)[1] > 1e-6)
    assert (x.min(), x.max()) == (20 - 4, 20 + 4)
    assert (y.min(), y.max()) == (15 - 2, 15 + 2)


def test_a_voxel_far_brighter_than_all_others_stops_nothing() -> None:
    guides = [texture(seed) for seed in (1, 1, 2)]
    guides[0][8, 12, 12] = guides[1][8, 12, 12] = 1e4
    image = texture(3)
    found = filled(image, *guides)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found[KNOWN], image[KNOWN], atol=1e-2)
