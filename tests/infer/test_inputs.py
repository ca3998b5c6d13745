"""Whatever stands for an image becomes a Volume with its own place in space, or is refused in words."""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings

from polycontrast.errors import UserError
from polycontrast.infer.inputs import as_volume
from polycontrast.io import nifti
from polycontrast.io.volume import Geometry, Volume

from . import places

ARRAY = np.arange(60, dtype=np.float32).reshape(3, 4, 5)
PLACE = places.affine(spacing=(2.0, 3.0, 4.0), angles=(0.2, 0.1, -0.3), offset=(10.0, -20.0, 30.0))


def test_an_array_is_one_mm_voxels_along_right_anterior_superior() -> None:
    found = as_volume(ARRAY)
    assert found.geometry.orientation == "RAS"
    assert found.geometry.spacing == (1, 1, 1)
    np.testing.assert_array_equal(found.array, ARRAY)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64, np.float64, np.float16, np.bool_])
def test_arrays_of_every_real_type_become_float32(dtype: type) -> None:
    found = as_volume(ARRAY.astype(dtype))
    assert found.array.dtype == np.float32
    np.testing.assert_array_equal(found.array, ARRAY.astype(dtype).astype(np.float32))


@settings(max_examples=50)
@given(place=places.geometries())
def test_a_nibabel_image_keeps_its_place_to_the_bit(place: Geometry) -> None:
    image = Volume(np.ones(place.shape, np.float32), place).to_nibabel()
    found = as_volume(image)
    assert found.geometry.header.binaryblock == place.header.binaryblock


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image, nib.Nifti1Pair, nib.MGHImage])
def test_images_of_other_kinds_lie_where_their_affine_says(kind: Any) -> None:
    found = as_volume(kind(ARRAY, PLACE))
    np.testing.assert_allclose(found.geometry.affine, PLACE, atol=1e-5)
    np.testing.assert_array_equal(found.array, ARRAY)


def test_scaled_integers_are_what_the_file_means(tmp_path: Path) -> None:
    image = nib.Nifti1Image(np.where(ARRAY < 20, 0, 0.37 * ARRAY), PLACE)
    image.set_data_dtype(np.int16)
    nib.save(image, tmp_path / "x.nii")  # with a slope and an intercept
    by_path, by_image = as_volume(tmp_path / "x.nii"), as_volume(nib.load(tmp_path / "x.nii"))
    assert by_path.geometry.header.binaryblock == by_image.geometry.header.binaryblock
    for found in (by_path, by_image):
        np.testing.assert_allclose(found.array, np.where(ARRAY < 20, 0, 0.37 * ARRAY), atol=1e-3)
        assert not found.array[ARRAY < 20].any()  # background stays 0, from which the brain is told


def test_a_path_may_be_text(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(ARRAY, PLACE), tmp_path / "x.nii")
    for given_as in (tmp_path / "x.nii", str(tmp_path / "x.nii")):
        assert as_volume(given_as).path == tmp_path / "x.nii"


def test_a_trailing_axis_of_one_is_dropped() -> None:
    assert as_volume(ARRAY[..., None]).shape == (3, 4, 5)
    assert as_volume(nib.Nifti1Image(ARRAY[..., None], PLACE)).shape == (3, 4, 5)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (None, "found NoneType"),
        (3.5, "found float"),
        ([[1, 2], [3, 4]], "found list"),
        (np.ones((4, 4)), "one 3-D volume, found 4 x 4"),
        (np.ones((4, 4, 4, 2)), "one 3-D volume, found 4 x 4 x 4 x 2"),
        (np.ones((4, 0, 4)), "empty"),
        (nib.Nifti1Image(np.ones((4, 4, 4, 2)), np.eye(4)), "one 3-D volume, found 4 x 4 x 4 x 2"),
        (nib.MGHImage(np.ones((4, 4, 4, 2), np.float32), np.eye(4)), "one 3-D volume, found 4 x 4 x 4 x 2"),
        (np.where(ARRAY == 7, np.nan, ARRAY), "1 of 60 voxels are NaN"),
        (np.where(ARRAY > 57, -np.inf, ARRAY), "2 of 60 voxels are NaN or infinite"),
        (np.full((3, 3, 3), 1e300), "27 of 27 voxels are NaN or infinite"),
        (ARRAY.astype(np.complex64), "complex64"),
        (ARRAY.astype(str), "voxels of type <U"),
        (ARRAY.astype(object), "voxels of type object"),
        (nib.Nifti1Image(np.where(ARRAY == 7, np.nan, ARRAY), PLACE), "NaN"),
        (Volume(np.where(ARRAY == 7, np.float32(np.nan), ARRAY), Geometry.from_affine((3, 4, 5), PLACE)), "NaN"),
        (Volume(ARRAY, Geometry.from_affine((3, 4, 6), PLACE)), r"\(3, 4, 5\) in a volume of shape \(3, 4, 6\)"),
    ],
)
def test_what_is_no_usable_image_is_refused(image: Any, words: str) -> None:
    with pytest.raises(UserError, match=words):
        as_volume(image)


def test_an_image_in_a_place_of_no_size_is_refused() -> None:
    image = nib.Nifti1Image(ARRAY, PLACE)
    image.header["srow_x"] = image.header["srow_y"]
    with pytest.raises(UserError, match="axes that coincide"):
        as_volume(image)


def test_so_is_one_of_another_kind() -> None:
    image = nib.MGHImage(ARRAY, np.eye(4))
    image._affine = np.diag([1.0, 1.0, 0.0, 1.0])
    with pytest.raises(UserError, match="transform"):
        as_volume(image)


def test_a_volume_keeps_its_file_and_is_refused_by_it() -> None:
    geometry, path = Geometry.from_affine((3, 4, 5), PLACE), Path("t2.nii.gz")
    assert as_volume(Volume(ARRAY, geometry, path)).path == path
    with pytest.raises(UserError) as caught:
        as_volume(Volume(np.full_like(ARRAY, np.inf), geometry, path))
    assert caught.value.path == path


def stripped() -> np.ndarray:
    """A z-scored brain in a box of zeros."""
    array = np.zeros((12, 12, 12))
    array[3:9, 3:9, 3:9] = np.random.default_rng(0).normal(size=(6, 6, 6))
    return array


def test_a_background_that_the_files_scale_keeps_from_zero_is_zero(tmp_path: Path) -> None:
    """A z-scored image under an int16 header: no stored number stands for 0."""
    header = nib.Nifti1Header()
    header.set_data_dtype(np.int16)
    nib.save(nib.Nifti1Image(stripped(), PLACE, header), tmp_path / "x.nii.gz")
    assert nib.load(tmp_path / "x.nii.gz").get_fdata()[0, 0, 0] != 0
    for image in (tmp_path / "x.nii.gz", nib.load(tmp_path / "x.nii.gz")):
        found = as_volume(image).array
        np.testing.assert_array_equal(found == 0, stripped() == 0)
        np.testing.assert_allclose(found, stripped(), atol=1e-3)


def test_so_is_one_of_an_array_and_the_callers_stays_as_it_was() -> None:
    mine = np.where(stripped() == 0, -1, stripped()).astype(np.float32)
    np.testing.assert_array_equal(as_volume(mine).array == 0, stripped() == 0)
    assert mine[0, 0, 0] == -1


def test_the_callers_array_is_left_as_it_was() -> None:
    mine = ARRAY.copy()
    found = as_volume(mine)
    np.testing.assert_array_equal(mine, ARRAY)
    assert isinstance(found, Volume)
    assert nifti.geometry_of(found.geometry.header).shape == (3, 4, 5)
