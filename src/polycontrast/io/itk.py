"""Images read through SimpleITK: .mha, .mhd, .nrrd and DICOM series.

SimpleITK checks little: it loads a compressed .mha with flipped bits as wrong data. So the header's claim is held
against the file, and compressed voxels are read to their checksum, before SimpleITK reads them.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np

from polycontrast.errors import UserError
from polycontrast.io import checks, files, inflate
from polycontrast.io.volume import Geometry, Volume

_MAX_HEADER = 1 << 16
_MAX_UNEVEN_MM = 0.1  # by how much the steps between DICOM slices may differ
_LPS_TO_RAS = np.diag((-1.0, -1.0, 1.0, 1.0))
_BYTES = {"UInt8": 1, "Int8": 1, "UInt16": 2, "Int16": 2, "UInt32": 4, "Int32": 4, "Float32": 4}
_BYTES |= {"UInt64": 8, "Int64": 8, "Float64": 8}


def read(path: Path) -> Volume:
    """One image [X, Y, Z] float32 of a .mha, .mhd or .nrrd file; its directions become a NIfTI sform and qform, code 1.

    UserError for whatever `nifti.read` refuses, and if SimpleITK is not installed.
    """
    with files.open_input(path) as file:
        head = file.read(_MAX_HEADER)
    sitk = _simpleitk(path)
    try:
        reader = _look(sitk, str(path))
        claimed = math.prod(checks.check_shape(reader.GetSize(), path)) * _voxel_bytes(sitk, reader, path)
        _check_stored(head, claimed, path)
        return _volume(sitk, reader.Execute(), path)
    except RuntimeError as error:
        raise _refusal(error, path) from error


def data_file(path: Path) -> Path:
    """The file that holds the voxels of a .mhd: itself, or one beside it."""
    with files.open_input(path) as file:
        return _meta_data(file.read(_MAX_HEADER), path)[0]


def read_series(folder: Path) -> Volume:
    """The one DICOM series of a folder as a volume [X, Y, Z] float32, its slices in the order of their places.

    UserError if there is no series or more than one, a slice is missing or damaged, or voxels are not single numbers.
    """
    sitk = _simpleitk(folder)
    try:
        names = _series_files(sitk, folder)
        slices = [_look(sitk, name) for name in names]
        checks.check_shape((*slices[0].GetSize()[:2], len(names)), folder)
        for one in slices:
            _voxel_bytes(sitk, one, folder)
        _check_steps(slices, folder)
        reader = sitk.ImageSeriesReader()
        reader.SetFileNames(names)
        if len({one.GetPixelID() for one in slices}) > 1:  # each slice has a scale of its own
            reader.SetOutputPixelType(sitk.sitkFloat32)  # else the first slice's type, in which others are cut off
        image = reader.Execute()
    except RuntimeError as error:
        raise _refusal(error, folder) from error
    return _volume(sitk, image, folder)


def _simpleitk(path: Path) -> Any:
    try:
        import SimpleITK
    except ImportError as error:
        message = "SimpleITK is needed to read this kind of image, and is not installed"
        raise UserError(message, hint='pip install "polycontrast[itk]"', path=path) from error
    return SimpleITK


def _look(sitk: Any, name: str) -> Any:
    """A SimpleITK reader that has read the header of a file, and nothing more."""
    reader = sitk.ImageFileReader()
    reader.SetFileName(name)
    reader.ReadImageInformation()
    return reader


def _voxel_bytes(sitk: Any, reader: Any, path: Path) -> int:
    """Bytes a voxel; UserError for colour, vectors and complex numbers."""
    sizes = {getattr(sitk, f"sitk{name}"): size for name, size in _BYTES.items()}
    if reader.GetPixelID() not in sizes or reader.GetNumberOfComponents() != 1:
        found = f"voxels of type {sitk.GetPixelIDValueAsString(reader.GetPixelID())}"
        raise UserError(found, hint="convert the image to real numbers, one a voxel", path=path)
    return sizes[reader.GetPixelID()]


def _check_stored(head: bytes, claimed: int, path: Path) -> None:
    """UserError unless the file holds the claimed bytes of voxels, undamaged as far as its kind can tell."""
    source, offset, compressed = (_nrrd_data if head.startswith(b"NRRD") else _meta_data)(head, path)
    with files.open_input(source) as file:
        stored = source.stat().st_size - offset
        inflate.check_claim(claimed, stored, path, compressed=compressed)
        if compressed:
            file.seek(offset)
            inflate.check_length(inflate.inflated_pieces(file, path), claimed, path)


def _meta_data(head: bytes, path: Path) -> tuple[Path, int, bool]:
    """Of a MetaImage header: the file that holds the voxels, the byte they begin at, whether they are compressed."""
    fields: dict[str, str] = {}
    offset = 0
    for line in head.splitlines(keepends=True):
        offset += len(line)
        key, _, value = line.decode("latin-1").partition("=")
        fields[key.strip().lower()] = value.strip()
        if "elementdatafile" in fields:
            break
    name = fields.get("elementdatafile", "")
    compressed = fields.get("compresseddata", "").lower() == "true"
    if name.upper() == "LOCAL":
        return path, offset, compressed
    if not name or "%" in name or name == "LIST" or Path(name).name != name:
        message = f"expected the voxels in one file beside this one, found ElementDataFile = {name!r}"
        raise UserError(message, hint="save the image again as .mha or .nii.gz", path=path)
    return path.with_name(name), 0, compressed


def _nrrd_data(head: bytes, path: Path) -> tuple[Path, int, bool]:
    """Of an NRRD header: the same three; UserError if the voxels lie elsewhere or in an encoding we cannot check."""
    text, blank, _ = head.partition(b"\r\n\r\n" if b"\r\n\r\n" in head else b"\n\n")
    lines = (line.partition(":") for line in text.decode("latin-1").splitlines())
    fields = {key.strip().lower(): value.strip() for key, _, value in lines}
    encoding = fields.get("encoding", "").lower()
    if not blank or encoding not in ("raw", "gzip", "gz") or fields.keys() & {"data file", "datafile"}:
        message = f"expected voxels in this file, raw or gzip, found encoding {encoding!r}"
        raise UserError(message, hint="save the image again as .nii.gz", path=path)
    return path, len(text) + len(blank), encoding != "raw"


def _series_files(sitk: Any, folder: Path) -> list[str]:
    """The files of the one DICOM series of a folder, in the order of their slices."""
    finder, where = sitk.ImageSeriesReader, str(folder)
    series = {uid: list(finder.GetGDCMSeriesFileNames(where, uid)) for uid in finder.GetGDCMSeriesIDs(where)}
    if len(series) != 1:
        found = ", ".join(f"{uid} ({len(names)} files)" for uid, names in series.items()) or "none"
        hint = "put each series into a folder of its own and name that folder"
        raise UserError(f"expected one DICOM series, found {found}", hint=hint, path=folder)
    return next(iter(series.values()))


def _check_steps(slices: list[Any], folder: Path) -> None:
    """UserError unless the slices lie on top of each other, one step apart. slices: readers that know the headers."""
    places = np.array([one.GetOrigin() for one in slices])
    normal = np.reshape(slices[0].GetDirection(), (3, 3))[:, 2]
    steps = np.diff(places, axis=0)
    uneven = np.abs(steps - np.median(steps @ normal) * normal).max(initial=0.0)
    if uneven > _MAX_UNEVEN_MM:
        hint = "is a slice missing, twice there or tilted, or is this a localiser? give one complete series"
        raise UserError(f"the steps between slices differ by {uneven:.3g} mm", hint=hint, path=folder)


def _volume(sitk: Any, image: Any, path: Path) -> Volume:
    """A SimpleITK image, whose axes mean left-posterior-superior, as a volume in NIfTI's right-anterior-superior."""
    shape = checks.check_shape(image.GetSize(), path)
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is infinite, and refused as such
        array = np.array(sitk.GetArrayViewFromImage(image), dtype=np.float32).ravel().reshape(shape, order="F")
    checks.check_finite(array, path)
    ndim = image.GetDimension()
    lps = np.eye(4)
    lps[:3, :3] = np.reshape(image.GetDirection(), (ndim, ndim))[:3, :3] * np.asarray(image.GetSpacing())[:3]
    lps[:3, 3] = image.GetOrigin()[:3]
    geometry = Geometry.from_affine(shape, _LPS_TO_RAS @ lps)
    checks.check_affine(geometry, path)
    return Volume(array, geometry, path)


def _refusal(error: RuntimeError, path: Path) -> UserError:
    """What SimpleITK said, its last line only: the first ones name its own source files."""
    said = str(error).strip().splitlines()[-1].strip()
    return UserError(f"cannot be read: {said}", hint="the file is damaged or of another kind: copy it again", path=path)
