"""NIfTI files (.nii, .nii.gz): a guarded read, a header-only look, an atomic write under a fresh header.

Only the header is parsed by nibabel, from its first bytes. The voxels are streamed by our own few lines, because a
header is a claim: it is held against the size of the file before anything is allocated, and a compressed stream is
read to its checksum, but never far beyond what the header describes.
"""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import nibabel as nib
import numpy as np
from isal import isal_zlib
from numpy.typing import ArrayLike, NDArray

from polycontrast.errors import UserError
from polycontrast.io import checks, files, inflate
from polycontrast.io.volume import Array, Geometry, Volume

MAX_DESCRIPTION = 79
_LEVEL = 2  # of isal's, which packs a synthetic image of a brain in a fifth of the time of zlib's fastest way

_FORMS: dict[int, tuple[type[nib.Nifti1Header], slice, bytes]] = {  # header size -> class, place of the magic, magic
    348: (nib.Nifti1Header, slice(344, 348), b"n+1\0"),
    540: (nib.Nifti2Header, slice(4, 12), b"n+2\0\r\n\x1a\n"),
}
_DTYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"}
_REFUSED = {1: "1-bit", 32: "complex", 128: "RGB", 1536: "float128", 1792: "complex", 2048: "complex", 2304: "RGBA"}
_COARSE = ("u1", "i1", "u2", "i2", "f4")  # float32 holds their values exactly, so it may scale them too

# What a header says about space. Nothing else is ever copied: the other fields hold free text, names, dates.
_GEOMETRIC = (
    *("pixdim", "xyzt_units", "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d"),
    *("qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z"),
)


@dataclass(frozen=True)
class _Storage:
    """How the voxels lie in the (decompressed) file: bytes before them, type, shape, and the linear map to apply."""

    offset: int
    dtype: np.dtype[Any]
    geometry: Geometry
    slope: float
    inter: float

    @property
    def end(self) -> int:
        return self.offset + math.prod(self.geometry.shape) * self.dtype.itemsize


def read(path: str | Path) -> Volume:
    """One image [X, Y, Z] as float32 in the file's own units, in the order of the file: axial slices are contiguous.

    Trailing dimensions of size 1 are dropped. UserError if the file is damaged, truncated, claims more than it
    holds, or is not one finite, real-valued 3-D image whose place in space is known.
    """
    path = Path(path)
    with files.open_input(path) as file:
        storage, pieces = _open(file, path)
        stored = inflate.collect(pieces, storage.end, path)
    array = _scaled(stored[storage.offset :].view(storage.dtype), storage)
    checks.check_finite(array, path)
    return Volume(array.reshape(storage.geometry.shape, order="F"), storage.geometry, path)


def read_labels(path: str | Path) -> tuple[NDArray[np.int16], Geometry]:
    """A segmentation [X, Y, Z] and its geometry; UserError as for `read`, and for values that are not whole numbers."""
    volume = read(path)
    return checks.whole_numbers(volume), volume.geometry


def read_geometry(path: str | Path) -> Geometry:
    """Shape and place in space from the header alone, its claims held against the size of the file."""
    path = Path(path)
    with files.open_input(path) as file:
        return _open(file, path)[0].geometry


def geometry_of(header: nib.Nifti1Header, path: Path | None = None) -> Geometry:
    """Only the geometric fields of a NIfTI header, exactly as stored; UserError if they place no 3-D image in space."""
    dims = [int(n) for n in header["dim"]]
    shape = checks.check_shape(tuple(dims[1 : dims[0] + 1]) if 1 <= dims[0] <= 7 else (), path)
    fresh = type(header)()
    fresh["dim"] = [3, *shape, 1, 1, 1, 1]
    for name in _GEOMETRIC:
        fresh[name] = header[name]
    geometry = Geometry(fresh)
    checks.check_affine(geometry, path)
    return geometry


def write(path: str | Path, array: ArrayLike, geometry: Geometry, *, description: str = "") -> None:
    """Writes [X, Y, Z] as float32 to `.nii` or `.nii.gz`, whole or not at all; the same input gives the same bytes.

    The header is a new one: both transforms, their codes and units are the geometry's to the bit, `description`
    (ASCII, at most 79 characters) is its only text. UserError if the file cannot be written there; ValueError if the
    array does not fit the geometry or is not finite.
    """
    path = Path(path)
    values = np.asarray(array, dtype=np.float32)
    if values.shape != geometry.shape or not np.isfinite(values).all():
        raise ValueError(f"expected finite values of shape {geometry.shape}, found shape {values.shape}")
    if not path.name.endswith((".nii", ".nii.gz")):
        raise UserError("not a NIfTI name", hint="end the name in .nii or .nii.gz", path=path)
    header = _fresh_header(geometry, description)
    content = header.binaryblock.ljust(int(header["vox_offset"]), b"\0")
    voxels = values.astype(header.get_data_dtype()).reshape(-1, order="F").data
    with files.atomic_write(path) as part, part.open("wb") as file:
        if path.name.endswith(".gz"):
            # Not GzipFile: this header has neither the time nor the name of the file in it.
            packer = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, isal_zlib.MAX_WBITS | 16)
            file.writelines((packer.compress(content), packer.compress(voxels), packer.flush()))
        else:
            file.writelines((content, voxels))


def _open(file: BinaryIO, path: Path) -> tuple[_Storage, Iterator[bytes]]:
    """What the header says, checked against the file's size, and the pieces of the whole (decompressed) file."""
    compressed = file.read(2) == b"\x1f\x8b"  # by content: many a `.nii` is gzipped, and the other way round
    file.seek(0)
    pieces = inflate.inflated_pieces(file, path) if compressed else inflate.raw_pieces(file)
    head, pieces = inflate.take(pieces, max(_FORMS))
    storage = _storage(_parse_header(head, path), path)
    inflate.check_claim(storage.end, os.fstat(file.fileno()).st_size, path, compressed=compressed)
    return storage, pieces


def _parse_header(head: bytes, path: Path) -> nib.Nifti1Header:
    """The header as stored, its fields unchecked and unmended; UserError if these bytes are no NIfTI header."""
    for order, endianness in (("little", "<"), ("big", ">")):
        size = int.from_bytes(head[:4], order)  # type: ignore[arg-type]
        if size in _FORMS and len(head) >= size:
            kind, place, magic = _FORMS[size]
            if head[place] == magic:
                return kind(head[:size], endianness=endianness, check=False)
    message = f"not a NIfTI file: no such header in its first {len(head)} bytes"
    raise UserError(message, hint="is the file damaged, or of another kind (.hdr/.img pair, Analyze)?", path=path)


def _storage(header: nib.Nifti1Header, path: Path) -> _Storage:
    geometry = geometry_of(header, path)
    slope, inter = _scaling(header, path)
    return _Storage(_offset(header, path), _dtype(header, path), geometry, slope, inter)


def _offset(header: nib.Nifti1Header, path: Path) -> int:
    """Bytes before the voxels; 0 stands for the least possible."""
    offset, least = float(header["vox_offset"]), int(header.single_vox_offset)
    if offset and not (least <= offset <= 2**31 and offset.is_integer()):
        hint = "the header is damaged: copy or write the file again"
        raise UserError(f"the voxels cannot begin at byte {offset:g}", hint=hint, path=path)
    return int(offset) or least


def _dtype(header: nib.Nifti1Header, path: Path) -> np.dtype[Any]:
    code = int(header["datatype"])
    if code not in _DTYPES:
        found = _REFUSED.get(code, f"unknown (code {code})")
        raise UserError(f"voxels of type {found}", hint="convert the image to real numbers, one a voxel", path=path)
    stored: np.dtype[Any] = np.dtype(header.endianness + _DTYPES[code])
    return stored


def _scaling(header: nib.Nifti1Header, path: Path) -> tuple[float, float]:
    """Slope and intercept; a slope of 0, NaN or infinity means that there is no scaling (NIfTI-1, nibabel)."""
    slope, inter = float(header["scl_slope"]), float(header["scl_inter"])
    if slope == 0 or not math.isfinite(slope):
        return 1.0, 0.0
    if not math.isfinite(inter):
        raise UserError(f"scl_inter is {inter}", hint="the header is damaged: copy or write it again", path=path)
    return slope, inter


def _scaled(stored: NDArray[Any], storage: _Storage) -> Array:
    """Stored values -> float32, through float64 only where float32 cannot hold what is stored."""
    kind = "f4" if storage.dtype.str[1:] in _COARSE else "f8"
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is infinite, and refused as such
        values: NDArray[Any] = stored.astype(kind)
        if (storage.slope, storage.inter) != (1.0, 0.0):
            values *= storage.slope
            values += storage.inter
        return values.astype(np.float32, copy=False)


def _fresh_header(geometry: Geometry, description: str) -> nib.Nifti1Header:
    if len(description) > MAX_DESCRIPTION:
        raise ValueError(f"a description has at most {MAX_DESCRIPTION} characters: {description!r}")
    header: nib.Nifti1Header = geometry.header.copy()
    header.set_data_dtype(np.float32)
    header["vox_offset"] = header.single_vox_offset
    header["scl_slope"], header["scl_inter"] = 1, 0
    header["descrip"] = description.encode("ascii")
    return header
