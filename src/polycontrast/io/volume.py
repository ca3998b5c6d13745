"""Volume: an array, where its voxels lie in space, and the file it came from."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Affine = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Geometry:
    """Where voxels lie: the geometric fields of a NIfTI header exactly as stored, so that they can be written back.

    header: a NIfTI header, of version 1 or 2 as in the file, that holds shape, pixdim, sform, qform, their codes and
    units, and nothing else.
    """

    header: nib.Nifti1Header

    @classmethod
    def from_affine(cls, shape: tuple[int, int, int], affine: Affine) -> "Geometry":
        """The place given by a matrix, voxel index -> mm [4, 4]: as sform and (without shears) as qform, code 1."""
        header = nib.Nifti1Header()
        header.set_data_shape(shape)
        header.set_sform(affine, code=1)
        header.set_qform(affine, code=1)
        header.set_xyzt_units("mm")
        return cls(header)

    @property
    def shape(self) -> tuple[int, int, int]:
        x, y, z = self.header.get_data_shape()
        return int(x), int(y), int(z)

    @property
    def affine(self) -> Affine:
        """Voxel index -> mm, [4, 4]: the sform if its code is set, else the qform, else the header's default."""
        return np.asarray(self.header.get_best_affine(), dtype=np.float64)

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel edge lengths in mm."""
        x, y, z = nib.affines.voxel_sizes(self.affine)
        return float(x), float(y), float(z)

    @property
    def orientation(self) -> str:
        """Three letters, where the axes point to: "RAS", "LPS" ..."""
        return "".join(str(c) for c in nib.aff2axcodes(self.affine))


@dataclass(frozen=True, eq=False)
class Volume:
    """One image: array [X, Y, Z] float32 in the file's own units, its geometry, its file (None if made in memory).

    description: what is written into the header's `descrip`; a synthetic volume says there that it is one.
    """

    array: Array
    geometry: Geometry
    path: Path | None = None
    description: str = ""

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.geometry.shape

    def with_array(self, array: Array, description: str = "") -> "Volume":
        """The same place in space with other values; the shape must be the same."""
        if array.shape != self.shape:
            raise ValueError(f"array of shape {array.shape} does not fit a volume of shape {self.shape}")
        return replace(self, array=np.asarray(array, dtype=np.float32), path=None, description=description)

    def to_nibabel(self) -> nib.Nifti1Image:
        """The same as a nibabel image, with both transforms and their codes."""
        header = self.geometry.header.copy()
        header.set_data_dtype(np.float32)
        header["descrip"] = self.description.encode("ascii")
        kind: Any = nib.Nifti2Image if isinstance(header, nib.Nifti2Header) else nib.Nifti1Image
        image: nib.Nifti1Image = kind(self.array, None, header)
        return image

    def __repr__(self) -> str:
        size = " x ".join(str(n) for n in self.shape)
        mm = " x ".join(f"{s:.3g}" for s in self.geometry.spacing)
        return (
            f"Volume({size} voxels of {mm} mm, {self.geometry.orientation}, "
            f"{float(self.array.min()):.4g} to {float(self.array.max()):.4g}, {self.array.nbytes / 2**20:.1f} MiB, "
            f"{self.path or 'in memory'})"
        )
