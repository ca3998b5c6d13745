"""Files that want to crash, flood or mislead: each is refused in words, in little time and memory."""

import errno
import gzip
import os
import subprocess
import sys
import time
import tracemalloc
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from polycontrast.errors import UserError
from polycontrast.io import checks, files, nifti
from polycontrast.io.volume import Geometry

RNG = np.random.default_rng(1)
SHAPE = (12, 12, 12)


def header(shape=SHAPE, dtype="f4", **fields) -> bytes:
    """352 bytes of a NIfTI-1 file with these fields."""
    made = nib.Nifti1Header()
    made.set_data_dtype(dtype)
    made["dim"] = [len(shape), *shape, *[1] * (7 - len(shape))]
    made.set_sform(np.eye(4), code=1)
    made["vox_offset"] = 352
    for name, value in fields.items():
        made[name] = value
    return made.binaryblock + bytes(4)


def refused(path: Path, said: str = ".", read=nifti.read) -> UserError:
    with pytest.raises(UserError, match=said) as caught:
        read(path)
    assert caught.value.path == path
    assert caught.value.hint
    return caught.value


def within_limits(path: Path, said: str, seconds: float) -> None:
    """Refused in this time (the best of three) and with less than 20 MB at any moment."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        refused(path, said)
        times.append(time.perf_counter() - start)
    tracemalloc.start()
    refused(path, said)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert min(times) < seconds
    assert peak < 20e6


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize(
    ("shape", "said"), [((3000, 3000, 300), "more than the limit"), ((1000, 1000, 1000), "header claims")]
)
def test_a_header_that_claims_more_than_the_file_holds_costs_nothing(tmp_path, name, shape, said):
    content = header(shape, "f8") + bytes(64)
    assert len(content) == 416
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    within_limits(path, said, seconds=0.05)
    refused(path, said, nifti.read_geometry)


def test_a_gzip_bomb_in_many_members_is_read_no_further_than_its_header_describes(tmp_path):
    path = tmp_path / "bomb.nii.gz"
    path.write_bytes(gzip.compress(header()) + gzip.compress(bytes(1 << 20)) * 2000)
    assert path.stat().st_size < 2.5e6
    within_limits(path, "more data than", seconds=0.5)


def test_a_gzip_bomb_in_one_stream_is_read_no_further_than_its_header_describes(tmp_path):
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    start = packer.compress(header()) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    path = tmp_path / "bomb.nii.gz"
    path.write_bytes(start + block * 1900)
    within_limits(path, "more data than", seconds=0.5)


def test_of_300_flipped_bits_not_one_gives_a_wrong_image(tmp_path):
    array = np.where(RNG.random(SHAPE) < 0.5, 0, RNG.integers(0, 2000, SHAPE)).astype(np.int16)
    image = nib.Nifti1Image(array, nib.affines.from_matvec(np.diag((1, 2, 3)), (4, 5, 6)))
    path, flipped = tmp_path / "a.nii.gz", tmp_path / "flipped.nii.gz"
    nib.save(image, path)
    content, sound = path.read_bytes(), nifti.read(path)
    caught = 0
    for bit in RNG.choice(8 * len(content), 300, replace=False):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << (bit % 8)
        flipped.write_bytes(damaged)
        try:
            volume = nifti.read(flipped)
        except UserError:
            caught += 1
        else:  # one of the few bits that mean nothing: the time in gzip's own header, a code that no byte uses
            assert np.array_equal(volume.array, sound.array)
            assert np.array_equal(volume.geometry.affine, sound.geometry.affine)
    assert caught > 290


@pytest.mark.parametrize("end", [0, 1, 100, 347, 352, 400, -9, -8, -4, -1])
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_a_truncated_file_is_refused_wherever_it_ends(save, name, end):
    path = save(name, RNG.normal(size=SHAPE).astype(np.float32))
    path.write_bytes(path.read_bytes()[:end])
    refused(path)


def test_garbage_behind_the_compressed_stream_is_refused(save):
    path = save("a.nii.gz", np.zeros(SHAPE, np.float32))
    path.write_bytes(path.read_bytes() + b"garbage")
    refused(path, "corrupt")


def test_another_kind_of_file_is_refused(tmp_path):
    path = tmp_path / "a.nii"
    path.write_bytes(RNG.bytes(5000))
    refused(path, "not a NIfTI file")
    content = bytearray(header() + bytes(4 * 12**3))
    content[344:348] = b"ni1\0"  # the header of a .hdr/.img pair
    path.write_bytes(content)
    refused(path, "not a NIfTI file")
    refused(tmp_path / "absent.nii", "no such file")
    refused(tmp_path, "found a folder")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_counted_and_refused(save, value):
    array = np.zeros(SHAPE, np.float32)
    array[3, 4, 5] = value
    refused(save("a.nii.gz", array), "1 of 1,728 voxels are NaN or infinite")


def test_values_too_large_for_float32_are_refused(save):
    refused(save("a.nii", np.full(SHAPE, 1e300)), "infinite")


def test_a_series_of_volumes_and_a_single_slice_are_refused(save):
    refused(save("a.nii.gz", np.zeros((4, 4, 4, 3), np.float32)), "expected one 3-D volume, found 4 x 4 x 4 x 3")
    refused(save("b.nii.gz", np.zeros((4, 4), np.float32)), "expected one 3-D volume, found 4 x 4")


@pytest.mark.parametrize(
    ("code", "kind"), [(32, "complex"), (1792, "complex"), (128, "RGB"), (2304, "RGBA"), (1, "1-bit"), (77, "unknown")]
)
def test_voxels_that_are_not_real_numbers_are_refused(tmp_path, code, kind):
    path = tmp_path / "a.nii"
    path.write_bytes(header(datatype=code) + bytes(16 * 12**3))
    refused(path, kind)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"dim": [3, 12, 0, 12, 1, 1, 1, 1]}, "empty"),
        ({"dim": [3, 12, -5, 12, 1, 1, 1, 1]}, "empty"),
        ({"dim": [0, 12, 12, 12, 1, 1, 1, 1]}, "3-D"),
        ({"dim": [9, 12, 12, 12, 1, 1, 1, 1]}, "3-D"),
        ({"srow_z": [0, 0, 0, 0]}, "no size"),
        ({"srow_y": [1, 0, 0, 0]}, "coincide"),
        ({"srow_x": [np.nan, 0, 0, 0]}, "transform"),
        ({"srow_x": [1e30, 0, 0, np.inf]}, "transform"),
        ({"sform_code": 0, "qform_code": 1, "quatern_b": 5}, "not valid"),
        ({"sform_code": 0, "qform_code": 1, "pixdim": [1, -1, 1, 1, 1, 1, 1, 1]}, "not valid"),
        ({"sform_code": 0, "pixdim": [1, 0, 1, 1, 1, 1, 1, 1]}, "no size"),
        ({"vox_offset": 10}, "byte 10"),
        ({"vox_offset": np.nan}, "byte nan"),
        ({"vox_offset": 352.5}, "byte 352.5"),
        ({"vox_offset": 1e30}, "byte 1e"),
        ({"scl_slope": 1, "scl_inter": np.nan}, "scl_inter"),
    ],
)
def test_a_header_that_makes_no_sense_is_refused(tmp_path, fields, said):
    path = tmp_path / "a.nii"
    path.write_bytes(header(**fields) + bytes(4 * 12**3))
    refused(path, said)


def test_contrasts_on_different_grids_are_refused_and_rounding_is_not():
    shifts = {"T1": 0.0, "T2": 1e-3}
    grids = {
        n: Geometry.from_affine((240, 240, 155), nib.affines.from_matvec(np.eye(3), (s, 0, 0)))
        for n, s in shifts.items()
    }
    checks.check_same_grid(grids)
    tilted = np.eye(4)
    tilted[:3, :3] += 1e-4 * RNG.uniform(-1, 1, (3, 3))
    checks.check_same_grid({"T1": grids["T1"], "T2": Geometry.from_affine((240, 240, 155), tilted)} | grids)
    moved = Geometry.from_affine((240, 240, 155), nib.affines.from_matvec(np.eye(3), (0, 0.5, 0)))
    with pytest.raises(UserError, match=r"T1 and FLAIR .* lie 0\.5 mm apart"):
        checks.check_same_grid(grids | {"FLAIR": moved})
    smaller = Geometry.from_affine((240, 240, 154), np.eye(4))
    with pytest.raises(UserError, match="FLAIR has 240 x 240 x 154"):
        checks.check_same_grid(grids | {"FLAIR": smaller}, Path("P1"))
    mirrored = Geometry.from_affine((240, 240, 155), nib.affines.from_matvec(np.diag((-1, 1, 1)), (239, 0, 0)))
    with pytest.raises(UserError, match="apart"):
        checks.check_same_grid(grids | {"FLAIR": mirrored})


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EDQUOT])
def test_a_full_or_forbidden_disk_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, code):
    path = tmp_path / "a.nii.gz"
    path.write_text("old")

    def fail(_: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(UserError, match="cannot write") as caught:
        nifti.write(path, np.zeros(SHAPE), Geometry.from_affine(SHAPE, np.eye(4)))
    assert caught.value.path == path
    assert [p.read_text(encoding="utf-8") for p in tmp_path.iterdir()] == ["old"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits on the size of files")
def test_a_real_limit_on_writing_is_told_and_leaves_nothing(tmp_path):
    program = """
import resource, sys, numpy as np
from polycontrast.errors import UserError
from polycontrast.io import nifti
from polycontrast.io.volume import Geometry
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
try:
    array = np.random.default_rng(0).normal(size=(20, 20, 20))
    nifti.write(sys.argv[1], array, Geometry.from_affine(array.shape, np.eye(4)))
except UserError as error:
    sys.exit(f"UserError {error}")
"""
    target = str(tmp_path / "a.nii.gz")
    done = subprocess.run([sys.executable, "-c", program, target], capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("UserError")
    assert "hint" in done.stderr
    assert not list(tmp_path.iterdir())


def test_an_output_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    places = [tmp_path / "file" / "a.json", tmp_path / "file" / "deep" / "a.json", tmp_path / ("x" * 300 + ".json")]
    if Path("/proc/self").exists():
        places.append(Path("/proc/nowhere/a.json"))
    for place in places:
        with pytest.raises(UserError, match="cannot write") as caught:
            files.write_json(place, {})
        assert caught.value.path == place
        assert caught.value.hint
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(UserError, match="cannot write"):
        files.write_json(tmp_path / "folder.json", {})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder.json"]


def test_an_error_while_writing_leaves_nothing(tmp_path):
    def write_half_and_fail() -> None:
        with files.atomic_write(tmp_path / "a.csv") as part:
            part.write_text("half")
            assert part.parent == tmp_path
            assert part.suffix == ".csv"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half_and_fail()
    assert not list(tmp_path.iterdir())


def test_json_is_written_whole_and_read_back_or_refused(tmp_path):
    path = tmp_path / "new" / "a.json"
    files.write_json(path, {"ü": [1, 2.5, None]})
    assert files.read_json(path) == {"ü": [1, 2.5, None]}
    assert path.stat().st_mode & 0o777 == 0o666 & ~_umask()
    with pytest.raises(ValueError, match="JSON compliant"):
        files.write_json(path, {"a": float("nan")})
    path.write_text("{")
    with pytest.raises(UserError, match="not valid JSON"):
        files.read_json(path)


def test_sha256_is_that_of_the_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert files.sha256(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    with pytest.raises(UserError, match="no such file"):
        files.sha256(tmp_path / "b")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
