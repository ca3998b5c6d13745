import gzip
import itertools
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polycontrast.errors import UserError
from polycontrast.io import nifti
from polycontrast.io.volume import Geometry

GEOMETRIC = (
    *("dim", "pixdim", "xyzt_units", "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d"),
    *("qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z"),
)
ORIENTATIONS = list(itertools.product(itertools.permutations(range(3)), itertools.product((1, -1), repeat=3)))
RNG = np.random.default_rng(0)


def raw_header(path: Path) -> nib.Nifti1Header:
    """The header as it stands in the file, nothing mended by nibabel."""
    content = path.read_bytes()
    if content[:2] == b"\x1f\x8b":
        content = gzip.decompress(content)
    kind = nib.Nifti1Header if content[0] == 92 else nib.Nifti2Header
    return kind(content[: kind.sizeof_hdr], check=False)


def geometric_bytes(path: Path) -> dict[str, bytes]:
    header = raw_header(path)
    return {name: header[name].tobytes() for name in GEOMETRIC}


def rotation(angles: tuple[float, float, float]) -> np.ndarray:
    return nib.eulerangles.euler2mat(*angles)


transforms = st.builds(
    lambda axes, angles, spacing, offset: nib.affines.from_matvec(
        rotation(angles) @ np.eye(3)[list(axes[0])] @ np.diag(axes[1]) @ np.diag(spacing), offset
    ),
    axes=st.sampled_from(ORIENTATIONS),
    angles=st.tuples(*[st.sampled_from((0.0, 0.1, -0.7, 1.9)) for _ in range(3)]),
    spacing=st.tuples(*[st.floats(0.2, 7) for _ in range(3)]),
    offset=st.tuples(*[st.floats(-300, 300) for _ in range(3)]),
)


@settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    shape=st.tuples(*[st.integers(1, 7)] * 3),
    sform=transforms,
    qform=transforms,
    codes=st.tuples(st.integers(0, 4), st.integers(0, 4)),
    version=st.sampled_from((nib.Nifti1Image, nib.Nifti2Image)),
    suffix=st.sampled_from((".nii", ".nii.gz")),
)
def test_both_transforms_and_codes_come_back_to_the_bit(tmp_path, shape, sform, qform, codes, version, suffix):
    array = RNG.normal(size=shape).astype(np.float32)
    image = version(array, None)
    image.header.set_sform(sform, code=codes[0])
    image.header.set_qform(qform, code=codes[1])
    source, target = tmp_path / f"source{suffix}", tmp_path / f"target{suffix}"
    nib.save(image, source)
    volume = nifti.read(source)
    nifti.write(target, volume.array, volume.geometry)
    assert geometric_bytes(target) == geometric_bytes(source)
    assert np.array_equal(volume.geometry.affine, nib.load(source).affine)
    assert np.array_equal(nifti.read(target).array, array)


@pytest.mark.parametrize("axes", ORIENTATIONS, ids=str)
def test_each_of_the_48_orientations_is_told_as_nibabel_tells_it(tmp_path, axes):
    affine = nib.affines.from_matvec(np.eye(3)[list(axes[0])] @ np.diag(axes[1]) @ np.diag((1, 2, 3)), (5, -6, 7))
    geometry = Geometry.from_affine((3, 5, 2), affine)
    nifti.write(tmp_path / "a.nii", np.zeros((3, 5, 2)), geometry)
    read = nifti.read_geometry(tmp_path / "a.nii")
    assert np.allclose(read.affine, affine, atol=1e-5)
    assert read.orientation == "".join(nib.aff2axcodes(affine))
    assert np.allclose(read.spacing, (1, 2, 3))
    assert np.allclose(nib.load(tmp_path / "a.nii").get_qform(), affine, atol=1e-5)


def test_unusual_stored_fields_are_kept_as_they_are(tmp_path, save):
    source = save("a.nii", np.ones((3, 4, 5), np.int16))
    content = bytearray(source.read_bytes())
    content[76:80] = np.float32(0).tobytes()  # pixdim[0], which nibabel would mend to 1
    content[92:108] = np.arange(4, dtype=np.float32).tobytes()  # pixdim[4:], of no meaning here
    content[123] = 0  # units not told
    source.write_bytes(content)
    volume = nifti.read(source)
    nifti.write(tmp_path / "b.nii", volume.array, volume.geometry)
    assert geometric_bytes(tmp_path / "b.nii") == geometric_bytes(source)


@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8", ">i2", ">f4"])
def test_every_real_type_is_read_with_its_scaling(tmp_path, dtype):
    array = RNG.integers(0, 100, (4, 5, 6)).astype(dtype)
    header = nib.Nifti1Header(endianness=">" if dtype[0] == ">" else "<")
    header.set_data_dtype(array.dtype)
    header.set_data_shape(array.shape)
    header["scl_slope"], header["scl_inter"], header["vox_offset"] = 0.5, -3, 352
    path = tmp_path / "a.nii"
    path.write_bytes(header.binaryblock + bytes(4) + array.tobytes("F"))
    volume = nifti.read(path)
    assert volume.array.dtype == np.float32
    assert np.array_equal(volume.array, array.astype(np.float32) * 0.5 - 3)


def test_large_integers_are_scaled_before_they_are_rounded_to_float32(tmp_path):
    array = np.full((2, 2, 2), 2**31 - 1, np.int32)
    header = nib.Nifti1Header()
    header.set_data_dtype(np.int32)
    header.set_data_shape(array.shape)
    header["scl_slope"], header["scl_inter"], header["vox_offset"] = 1, -(2.0**31), 352
    (tmp_path / "a.nii").write_bytes(header.binaryblock + bytes(4) + array.tobytes())
    assert np.array_equal(nifti.read(tmp_path / "a.nii").array, np.full((2, 2, 2), -1, np.float32))


def test_a_slope_of_zero_or_nan_means_no_scaling(save):
    path = save("a.nii", np.arange(8, dtype=np.int16).reshape(2, 2, 2))
    for slope in (0, np.nan):
        content = bytearray(path.read_bytes())
        content[112:116] = np.float32(slope).tobytes()
        path.write_bytes(content)
        assert np.array_equal(nifti.read(path).array.ravel(), np.arange(8))


def test_trailing_dimensions_of_one_are_dropped(save):
    path = save("a.nii.gz", RNG.normal(size=(3, 4, 5, 1, 1)).astype(np.float32))
    assert nifti.read(path).shape == (3, 4, 5)
    assert nifti.read_geometry(path).shape == (3, 4, 5)


def test_the_content_not_the_name_tells_whether_a_file_is_gzipped(save, tmp_path):
    path = save("a.nii.gz", np.ones((3, 3, 3), np.float32))
    renamed = tmp_path / "b.nii"
    renamed.write_bytes(path.read_bytes())
    assert np.array_equal(nifti.read(renamed).array, nifti.read(path).array)


def test_gzip_in_many_members_and_with_padding_is_read(save, tmp_path):
    array = RNG.normal(size=(9, 9, 9)).astype(np.float32)
    content = save("a.nii", array).read_bytes()
    members = [gzip.compress(content[i : i + 100]) for i in range(0, len(content), 100)]
    path = tmp_path / "b.nii.gz"
    path.write_bytes(b"".join(members) + bytes(512))
    assert np.array_equal(nifti.read(path).array, array)
    assert nifti.read_geometry(path).shape == (9, 9, 9)


def test_voxels_behind_a_header_extension_are_found(tmp_path):
    array = RNG.normal(size=(3, 4, 5)).astype(np.float32)
    image = nib.Nifti1Image(array, np.eye(4))
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"x" * 1000))
    nib.save(image, tmp_path / "a.nii.gz")
    assert np.array_equal(nifti.read(tmp_path / "a.nii.gz").array, array)


def test_the_same_image_gives_the_same_bytes_whatever_its_name_and_the_time(tmp_path):
    array, geometry = np.ones((5, 6, 7), np.float32), Geometry.from_affine((5, 6, 7), np.eye(4))
    nifti.write(tmp_path / "a.nii.gz", array, geometry, description="SYNTHETIC")
    nifti.write(tmp_path / "b.nii.gz", np.asfortranarray(array), geometry, description="SYNTHETIC")
    content = (tmp_path / "a.nii.gz").read_bytes()
    assert content == (tmp_path / "b.nii.gz").read_bytes()
    assert content[4:8] == bytes(4)  # no time
    assert not content[3]  # no name
    assert raw_header(tmp_path / "a.nii.gz")["descrip"] == b"SYNTHETIC"


def test_nothing_but_geometry_of_the_source_header_reappears(tmp_path):
    canary = b"DOE^JANE"
    image = nib.Nifti1Image(np.zeros((3, 3, 3), np.float32), np.eye(4))
    for field in ("descrip", "aux_file", "intent_name", "db_name"):
        image.header[field] = canary
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", canary))
    nib.save(image, tmp_path / "a.nii")
    assert (tmp_path / "a.nii").read_bytes().count(canary) == 5
    volume = nifti.read(tmp_path / "a.nii")
    nifti.write(tmp_path / "b.nii", volume.array, volume.geometry)
    assert canary not in (tmp_path / "b.nii").read_bytes()


def test_a_wrong_array_or_description_is_the_programs_fault(tmp_path):
    geometry = Geometry.from_affine((2, 2, 2), np.eye(4))
    with pytest.raises(ValueError, match="shape"):
        nifti.write(tmp_path / "a.nii", np.zeros((2, 2, 3)), geometry)
    with pytest.raises(ValueError, match="finite"):
        nifti.write(tmp_path / "a.nii", np.full((2, 2, 2), np.nan), geometry)
    with pytest.raises(ValueError, match="79"):
        nifti.write(tmp_path / "a.nii", np.zeros((2, 2, 2)), geometry, description="x" * 80)
    with pytest.raises(UserError, match=r"\.nii"):
        nifti.write(tmp_path / "a.png", np.zeros((2, 2, 2)), geometry)
    assert not list(tmp_path.iterdir())


def test_labels_are_whole_numbers(save):
    labels = RNG.integers(0, 5, (4, 4, 4)).astype(np.uint8)
    array, geometry = nifti.read_labels(save("seg.nii.gz", labels))
    assert array.dtype == np.int16
    assert np.array_equal(array, labels)
    assert geometry.shape == (4, 4, 4)
    with pytest.raises(UserError, match=r"0\.5 was found"):
        nifti.read_labels(save("image.nii.gz", np.full((2, 2, 2), 0.5, np.float32)))
    with pytest.raises(UserError, match="70000 was found"):
        nifti.read_labels(save("large.nii.gz", np.full((2, 2, 2), 70000, np.int32)))


@pytest.mark.real
@pytest.mark.skipif("POLYCONTRAST_REAL_DATA" not in os.environ, reason="POLYCONTRAST_REAL_DATA is not set")
def test_real_images_are_read_as_nibabel_reads_them():
    cohort = Path(os.environ["POLYCONTRAST_REAL_DATA"], "cohort")
    for case in sorted(cohort.iterdir())[:3]:
        for path in sorted(case.glob("*.nii.gz")):
            image, volume = nib.load(path), nifti.read(path)
            assert np.allclose(volume.array, np.asarray(image.dataobj), rtol=1e-6, atol=1e-6)
            assert np.array_equal(volume.geometry.affine, image.affine)
