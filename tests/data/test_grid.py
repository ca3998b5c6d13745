import itertools

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polycontrast.data import grid

ORIENTATIONS = [
    "".join(letters)
    for axes in itertools.permutations(("RL", "AP", "SI"))
    for letters in itertools.product(*axes)
]  # fmt: skip
angles = st.floats(-np.pi, np.pi)
sizes = st.integers(1, 7)


def affine_of(orientation: str, spacing: tuple[float, float, float] = (1, 1, 1)) -> np.ndarray:
    """A matrix whose voxel axes point to these letters."""
    columns = nib.orientations.inv_ornt_aff(nib.orientations.axcodes2ornt(orientation), (2, 2, 2))[:3, :3]
    return nib.affines.from_matvec(np.linalg.inv(columns) * spacing, [3, -7, 11])


def numbered(*shape: int) -> np.ndarray:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def test_there_are_48_orientations() -> None:
    assert len({nib.aff2axcodes(affine_of(o)) for o in ORIENTATIONS}) == 48


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_every_orientation_comes_to_ras_and_back(orientation: str) -> None:
    array, affine = numbered(3, 4, 5), affine_of(orientation)
    assert nib.aff2axcodes(affine) == tuple(orientation)
    turned = grid.to_canonical(array, affine)
    by_nibabel = nib.as_closest_canonical(nib.Nifti1Image(array, affine))
    np.testing.assert_array_equal(turned, by_nibabel.get_fdata())
    np.testing.assert_array_equal(grid.from_canonical(turned, affine), array)


@given(x=angles, y=angles, z=angles, shape=st.tuples(sizes, sizes, sizes), stretch=st.floats(0.2, 5))
def test_oblique_volumes_come_to_canonical_and_back(
    x: float, y: float, z: float, shape: tuple[int, int, int], stretch: float
) -> None:
    matrix = nib.eulerangles.euler2mat(z, y, x) * (1, stretch, 2)
    affine, array = nib.affines.from_matvec(matrix, [1, 2, 3]), numbered(*shape)
    turned = grid.to_canonical(array, affine)
    np.testing.assert_array_equal(grid.from_canonical(turned, affine), array)
    assert sorted(grid.canonical_spacing(affine)) == pytest.approx(sorted((1, stretch, 2)))


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_spacing_follows_the_axes(orientation: str) -> None:
    along = {"R": 1.0, "L": 1.0, "A": 2.0, "P": 2.0, "S": 3.0, "I": 3.0}
    a, b, c = (along[letter] for letter in orientation)
    assert grid.canonical_spacing(affine_of(orientation, (a, b, c))) == pytest.approx((1, 2, 3))


def test_to_canonical_copies_nothing() -> None:
    array = numbered(3, 4, 5)
    assert np.shares_memory(array, grid.to_canonical(array, affine_of("PIR")))


@given(st.tuples(sizes, sizes, sizes), st.randoms(use_true_random=False))
def test_a_crop_to_the_bounding_box_loses_nothing(shape: tuple[int, int, int], chance: object) -> None:
    mask = np.array([chance.random() < 0.1 for _ in range(np.prod(shape))]).reshape(shape)  # type: ignore[attr-defined]
    array = numbered(*shape) * mask
    box = grid.bounding_box(mask)
    np.testing.assert_array_equal(grid.uncrop(grid.crop(array, box), box, shape), array)
    if mask.any():
        inside = grid.crop(mask, box)
        assert all(inside.any(axis=tuple(a for a in range(3) if a != axis))[[0, -1]].all() for axis in range(3))


def test_the_box_of_an_empty_mask_is_the_whole() -> None:
    assert grid.bounding_box(np.zeros((2, 3, 4), bool)) == ((0, 2), (0, 3), (0, 4))


@given(
    shape=st.tuples(sizes, sizes),
    start=st.tuples(st.integers(-9, 9), st.integers(-9, 9)),
    width=st.tuples(sizes, sizes),
)
def test_cut_and_paste_are_inverse_where_window_and_image_overlap(
    shape: tuple[int, int], start: tuple[int, int], width: tuple[int, int]
) -> None:
    slices = numbered(2, *shape) + 1
    window = grid.cut(slices, start, width)
    assert window.shape == (2, *width)
    covered = np.zeros(shape, bool)
    covered[tuple(slice(max(a, 0), max(a + w, 0)) for a, w in zip(start, width, strict=True))] = True
    np.testing.assert_array_equal(grid.paste(window, start, width, shape), slices * covered)
    assert (window > 0).sum() == 2 * covered.sum()  # and zeros beyond the edge


def test_the_frame_of_a_240_mm_slice_is_the_whole_slice() -> None:
    frame = grid.Frame(extent=240.0, size=128)
    box = ((31, 190), (12, 201), (0, 100))  # a brain that is not in the middle
    assert frame.pixels((1.0, 1.0, 1.0)) == (240, 240)
    assert frame.place(box, (240, 240, 155), (1.0, 1.0, 1.0)) == (0, 0)
    assert frame.pixels((0.5, 2.0, 1.0)) == (480, 120)


@given(size=st.integers(1, 60), low=st.integers(0, 59), length=st.integers(1, 60), extent=st.integers(1, 60))
def test_a_frame_stays_inside_a_large_image_and_holds_a_small_one(
    size: int, low: int, length: int, extent: int
) -> None:
    low = min(low, size - 1)
    high = min(low + length, size)
    start, _ = grid.Frame(float(extent), 8).place(((low, high), (0, 1), (0, 1)), (size, 1, 1), (1.0, 1.0, 1.0))
    if extent <= size:
        assert 0 <= start <= size - extent
    else:
        assert start <= 0
        assert start + extent >= size
    if 0 < start < size - extent:  # where it is free, it is centred on the brain
        assert abs((start + extent / 2) - (low + high) / 2) <= 0.5


def test_shrinking_averages_areas() -> None:
    slices = np.random.default_rng(0).random((2, 3, 8, 8), dtype=np.float32)
    blocks = slices.reshape(2, 3, 4, 2, 4, 2).mean(axis=(3, 5))
    np.testing.assert_allclose(grid.resize(slices, (4, 4)), blocks, atol=1e-6)


def test_growing_invents_no_overshoot() -> None:
    step = np.zeros((1, 1, 8, 8), np.float32)
    step[..., 4:] = 1
    grown = grid.resize(step, (21, 21))
    assert grown.shape == (1, 1, 21, 21)
    assert grown.min() == 0
    assert grown.max() == 1


def test_the_same_size_is_the_same_array() -> None:
    slices = np.ones((1, 5, 6), np.float32)
    assert grid.resize(slices, (5, 6)) is slices


@pytest.mark.parametrize(("size", "shape"), [((8, 40), (40, 8)), ((40, 8), (8, 40)), ((8, 40), (8, 120))])
def test_each_axis_is_resized_by_its_own_rule_whichever_comes_first(
    size: tuple[int, int], shape: tuple[int, int]
) -> None:
    """Shrinking takes means, growing is smooth: neither depends on what the other axis does."""
    rows, columns = (np.sin(np.linspace(0, 3, n, dtype=np.float32)) for n in size)
    image = (rows[:, None] + columns)[None]
    turned = grid.resize(image.transpose(0, 2, 1).copy(), shape[::-1]).transpose(0, 2, 1)
    made = grid.resize(image, shape)
    np.testing.assert_allclose(made, turned, atol=1e-5)
    for axis in (1, 2):  # no blocks: the largest step is near the mean one of a slope
        steps = np.abs(np.diff(made, axis=axis))
        assert steps.max() < 3 * steps.mean()
