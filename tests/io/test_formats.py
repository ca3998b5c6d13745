import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from polycontrast.errors import UserError
from polycontrast.io import formats, nifti

sitk = pytest.importorskip("SimpleITK")
pydicom = pytest.importorskip("pydicom")
RNG = np.random.default_rng(2)
DIRECTION = nib.eulerangles.euler2mat(0.3, -0.2, 0.1) @ np.diag((-1, -1, 1))
ITK_NAMES = ["a.mha", "a.mhd", "a.nrrd"]


def test_a_synthetic_image_is_known_under_any_name_and_a_phantom_is_real(tmp_path: Path) -> None:
    image = nib.Nifti1Image(voxels("float32"), np.eye(4))
    for name, told, ours in (
        ("case_t1.nii.gz", "SYNTHETIC T1 by polycontrast 0.1.0", True),
        ("case_t1.nii", "80 % interval of SYNTHETIC T1", True),
        ("phantom_t1.nii.gz", "SYNTHETIC phantom", False),
        ("plain_t1.nii.gz", "", False),
    ):
        image.header["descrip"] = told
        nib.save(image, tmp_path / name)
        assert formats.is_ours(tmp_path / name) is ours
        if ours:
            with pytest.raises(UserError, match="a synthetic image, where a real one is expected") as caught:
                formats.read_real(tmp_path / name)
            assert caught.value.path == tmp_path / name
        else:
            np.testing.assert_array_equal(formats.read_real(tmp_path / name).array, image.get_fdata())


def picture(array: np.ndarray) -> "sitk.Image":
    """[X, Y, Z] as a SimpleITK image that is oblique and anisotropic."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.T))
    image.SetSpacing((0.9, 1.1, 3.0))
    image.SetOrigin((-80.5, 20.25, 7.0))
    image.SetDirection(DIRECTION.ravel().tolist())
    return image


def voxels(dtype: str = "int16") -> np.ndarray:
    """Half noise and half nothing, so that it compresses."""
    array = np.zeros((12, 14, 16), dtype)
    array[3:9] = RNG.integers(0, 900, (6, 14, 16))
    return array


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("name", ITK_NAMES)
def test_a_file_of_another_kind_is_the_same_image_as_its_nifti(tmp_path, name, compressed):
    array = voxels()
    sitk.WriteImage(picture(array), str(tmp_path / name), useCompression=compressed)
    sitk.WriteImage(picture(array), str(tmp_path / "a.nii.gz"))
    volume, twin = formats.read(tmp_path / name), formats.read(tmp_path / "a.nii.gz")
    assert np.array_equal(volume.array, array)
    assert np.array_equal(twin.array, array)
    assert np.allclose(volume.geometry.affine, twin.geometry.affine, atol=1e-4)
    assert int(volume.geometry.header["sform_code"]) == 1
    assert volume.geometry.spacing == pytest.approx((0.9, 1.1, 3.0), abs=1e-5)
    assert np.array_equal(formats.read_labels(tmp_path / name)[0], array)
    nifti.write(tmp_path / "b.nii.gz", volume.array, volume.geometry)
    assert np.allclose(nib.load(tmp_path / "b.nii.gz").get_qform(), volume.geometry.affine, atol=1e-4)


def refused(path: Path, said: str = ".") -> None:
    with pytest.raises(UserError, match=said) as caught:
        formats.read(path)
    assert caught.value.path == path
    assert caught.value.hint


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("name", ITK_NAMES)
@pytest.mark.parametrize("end", [0, 100, -2000, -5, -1])
def test_a_truncated_file_of_another_kind_is_refused(tmp_path, name, compressed, end):
    sitk.WriteImage(picture(voxels()), str(tmp_path / name), useCompression=compressed)
    data = next((p for p in tmp_path.iterdir() if p.suffix in (".raw", ".zraw")), tmp_path / name)
    data.write_bytes(data.read_bytes()[:end])
    refused(tmp_path / name)


@pytest.mark.parametrize("name", ["a.mha", "a.nrrd"])
def test_of_100_bits_flipped_in_compressed_voxels_not_one_gives_a_wrong_image(tmp_path, name):
    array = voxels()
    path = tmp_path / name
    sitk.WriteImage(picture(array), str(path), useCompression=True)
    content = path.read_bytes()
    caught = 0
    for bit in RNG.integers(8 * 600, 8 * len(content), 100):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << (bit % 8)
        path.write_bytes(damaged)
        try:
            assert np.array_equal(formats.read(path).array, array)
        except UserError:
            caught += 1
    assert caught > 95


@pytest.mark.parametrize("name", ["a.mha", "a.nrrd"])
@pytest.mark.parametrize("size", ["1000 1000 1000", "30000 30000 30000"])
def test_a_header_of_another_kind_that_claims_too_much_is_refused(tmp_path, name, size):
    path = tmp_path / name
    sitk.WriteImage(picture(voxels()), str(path))
    path.write_bytes(path.read_bytes().replace(b"12 14 16", size.encode()))
    refused(path, "header claims|more than the limit")


def test_voxels_outside_the_folder_are_not_fetched(tmp_path):
    sitk.WriteImage(picture(voxels()), str(tmp_path / "a.mhd"))
    text = (tmp_path / "a.mhd").read_text(encoding="utf-8")
    (tmp_path / "a.mhd").write_text(text.replace("a.raw", "../../secret.raw"))
    refused(tmp_path / "a.mhd", "secret")


@pytest.mark.parametrize("name", ITK_NAMES)
def test_colour_complex_and_nan_are_refused(tmp_path, name):
    path = tmp_path / name
    sitk.WriteImage(sitk.Image((4, 4, 4), sitk.sitkVectorUInt8, 3), str(path))
    refused(path, "vector|one 3-D volume")
    array = np.zeros((4, 4, 4), np.float32)
    array[0, 0, 0] = np.nan
    sitk.WriteImage(picture(array), str(path))
    refused(path, "NaN")
    sitk.WriteImage(sitk.Image((4, 4), sitk.sitkUInt8), str(path))
    refused(path, "expected one 3-D volume, found 4 x 4")


def test_without_simpleitk_the_extra_is_named(tmp_path, monkeypatch):
    path = tmp_path / "a.mha"
    sitk.WriteImage(picture(voxels()), str(path))
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    with pytest.raises(UserError) as caught:
        formats.read(path)
    assert 'pip install "polycontrast[itk]"' in caught.value.hint


def test_an_unknown_kind_is_refused(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    refused(tmp_path / "a.png", "unknown kind of image '.png'")
    refused(tmp_path / "absent.mha", "no such file")


def write_series(folder: Path, array: np.ndarray, uid: str = "1.2.3") -> None:
    """[X, Y, Z] as one DICOM file a slice, oblique as `picture` is, numbered against the order of their places."""
    folder.mkdir(exist_ok=True)
    image = picture(array)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for k in range(array.shape[2]):
        plane = image[:, :, k]
        place = image.TransformIndexToPhysicalPoint((0, 0, k))
        tags = {
            "0008|0060": "MR",
            "0020|000e": uid,
            "0020|000d": "1.2",
            "0008|0018": f"{uid}.{k + 1}",
            "0020|0032": "\\".join(map(str, place)),
            "0020|0037": "\\".join(f"{v:.9f}" for v in (*DIRECTION[:, 0], *DIRECTION[:, 1])),
            "0020|0013": str(100 - k),
        }
        for tag, value in tags.items():
            plane.SetMetaData(tag, value)
        writer.SetFileName(str(folder / f"{uid}_{(7 * k) % 100:03}.dcm"))
        writer.Execute(plane)


def test_a_dicom_series_is_read_in_the_order_of_its_places(tmp_path):
    array = voxels("uint16")
    write_series(tmp_path / "t2", array)
    volume = formats.read(tmp_path / "t2")
    sitk.WriteImage(picture(array), str(tmp_path / "a.nii"))
    twin = formats.read(tmp_path / "a.nii")
    assert np.array_equal(volume.array, array)
    assert np.allclose(volume.geometry.affine, twin.geometry.affine, atol=1e-3)
    assert volume.path == tmp_path / "t2"


def test_a_dicom_folder_with_a_slice_missing_damaged_or_of_another_series_is_refused(tmp_path):
    folder = tmp_path / "t2"
    folder.mkdir()
    refused(folder, "expected one DICOM series, found none")
    write_series(folder, voxels("uint16"))
    slices = sorted(folder.iterdir())
    content = slices[5].read_bytes()
    slices[5].unlink()
    refused(folder, r"steps between slices differ by 2\.\d+ mm")
    slices[5].write_bytes(content[: len(content) - 100])
    refused(folder)
    slices[5].write_bytes(content)
    write_series(folder, voxels("uint16"), uid="1.2.4")
    refused(folder, r"1\.2\.3 \(16 files\), 1\.2\.4 \(16 files\)")


@pytest.mark.parametrize("slopes", [(1, 1.5, 0.015, 1000), (1000, 1, 0.015, 1.5), (1, 1, 1000, 1)])
def test_dicom_slices_with_scales_of_their_own_keep_their_values(tmp_path, slopes):
    write_series(tmp_path / "t2", np.full((12, 14, 4), 100, "uint16"))
    for file, slope in zip(sorted((tmp_path / "t2").iterdir()), slopes, strict=True):
        image = pydicom.dcmread(file)
        image.RescaleSlope, image.RescaleIntercept = slope, 0
        image.save_as(file)
    assert np.allclose(formats.read(tmp_path / "t2").array, 100 * np.float32(slopes))


def test_an_image_is_known_by_all_the_files_that_hold_it(tmp_path):
    (tmp_path / "1.dcm").write_bytes(b"abc")
    before = formats.sha256(tmp_path)
    (tmp_path / ".DS_Store").touch()  # what file browsers hide in a folder
    assert formats.sha256(tmp_path) == before
    (tmp_path / "1.dcm").write_bytes(b"abd")
    assert formats.sha256(tmp_path) != before

    head, voxels = tmp_path / "a.mhd", tmp_path / "a.raw"
    head.write_text("ObjectType = Image\nElementDataFile = a.raw\n")
    voxels.write_bytes(b"\0\1")
    assert formats.files_of(head) == [head, voxels]
    before = formats.sha256(head)
    voxels.write_bytes(b"\0\2")
    assert formats.sha256(head) != before
