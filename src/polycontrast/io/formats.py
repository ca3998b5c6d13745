"""Images of every kind we read, told by extension: NIfTI by ourselves, the rest through SimpleITK (an extra)."""

import hashlib
import re
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from polycontrast.errors import UserError
from polycontrast.io import checks, files, itk, nifti
from polycontrast.io.volume import Geometry, Volume

EXTENSIONS = (".nii.gz", ".nii", ".mha", ".mhd", ".nrrd")
_OURS = re.compile(rb"SYNTHETIC .+ by polycontrast|% interval of SYNTHETIC ")  # how images and maps are described
_TEXT = 540  # bytes of a file, decompressed, within which its description lies


def read(path: str | Path) -> Volume:
    """One image [X, Y, Z] float32 of any kind we know; a folder is read as one DICOM series.

    UserError for another kind, for whatever `nifti.read` refuses, or if SimpleITK is needed and not installed.
    """
    path = Path(path)
    if path.is_dir():
        return itk.read_series(path)
    return nifti.read(path) if extension(path).startswith(".nii") else itk.read(path)


def read_labels(path: str | Path) -> tuple[NDArray[np.int16], Geometry]:
    """A segmentation [X, Y, Z] of whole numbers, and its geometry, of any kind we know."""
    volume = read(path)
    return checks.whole_numbers(volume), volume.geometry


def read_geometry(path: str | Path) -> Geometry:
    """Shape and place in space: of NIfTI from the header alone, of the other kinds by reading the image."""
    path = Path(path)
    if path.is_file() and extension(path).startswith(".nii"):
        return nifti.read_geometry(path)
    return read(path).geometry


def files_of(path: Path) -> list[Path]:
    """The files that hold an image: all of a DICOM series but hidden ones, which come and go; a .mhd's voxels too."""
    if path.is_dir():
        return sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
    return list(dict.fromkeys([path, itk.data_file(path)])) if path.name.lower().endswith(".mhd") else [path]


def sha256(path: Path) -> str:
    """The SHA-256 of an image's one file, in hexadecimal; of several that of theirs, by name."""
    held = files_of(path)
    if held == [path]:
        return files.sha256(path)
    return hashlib.sha256("".join(map(files.sha256, held)).encode()).hexdigest()


def read_real(path: Path) -> Volume:
    """`read`, but a UserError for a synthetic image of ours under the name of a real one: nobody should learn from it
    or be judged by it."""
    if is_ours(path):
        hint = "take it out of this folder: synthetic images are known by their names, <case>_<contrast>_synth.nii.gz"
        raise UserError("a synthetic image, where a real one is expected", hint=hint, path=path)
    return read(path)


def is_ours(path: Path) -> bool:
    """Whether the description in a NIfTI's or PNG's header says that polycontrast made it."""
    if path.is_dir():
        return False
    with files.open_input(path) as stored:
        head = stored.read(4096)
    with suppress(zlib.error):  # what is no gzip is looked at as it is
        head = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(head, _TEXT)
    return _OURS.search(head[:_TEXT]) is not None


def is_image(path: Path) -> bool:
    """Whether a file's name ends like that of an image we read."""
    return path.name.lower().endswith(EXTENSIONS)


def extension(path: Path) -> str:
    """The extension of an image's name, in lower case (".nii.gz" is one); a UserError if it is none that we read."""
    found = next((e for e in EXTENSIONS if path.name.lower().endswith(e)), None)
    if found is None:
        hint = f"we read {', '.join(EXTENSIONS)}, and folders with one DICOM series"
        raise UserError(f"unknown kind of image {path.suffix!r}", hint=hint, path=path)
    return found
