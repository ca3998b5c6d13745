"""What every image must be, whatever kind of file it came from; each check raises a UserError that names the remedy."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from polycontrast.errors import UserError
from polycontrast.io.volume import Affine, Array, Geometry, Volume

MAX_VOXELS = 1024**3
_LABEL_TOLERANCE = 1e-3  # a scaled label may miss its whole number by rounding
_GRID_TOLERANCE_MM = 0.05


def whole_numbers(volume: Volume) -> NDArray[np.int16]:
    """The volume's values as int16; UserError if some are not whole numbers that fit."""
    nearest = np.rint(volume.array)
    odd = (np.abs(volume.array - nearest) > _LABEL_TOLERANCE) | (np.abs(nearest) > np.iinfo(np.int16).max)
    if odd.any():
        found = f"a segmentation holds small whole numbers, but {float(volume.array[odd][0]):g} was found"
        hint = "is this an image, or a segmentation that was resampled with interpolation?"
        raise UserError(found, hint=hint, path=volume.path)
    return nearest.astype(np.int16)


def check_shape(sizes: Sequence[int], path: Path | None) -> tuple[int, int, int]:
    """The three sizes of one non-empty volume of a bearable size, without trailing ones; a UserError for any other."""
    text = " x ".join(map(str, sizes))
    if any(size < 1 for size in sizes):
        raise UserError(f"an image of {text} voxels is empty", hint="write the image again", path=path)
    if len(sizes) < 3 or any(size != 1 for size in sizes[3:]):
        hint = "give one 3-D volume; split a series into its volumes first"
        raise UserError(f"expected one 3-D volume, found {text}", hint=hint, path=path)
    if math.prod(sizes) > MAX_VOXELS:
        hint = "crop or resample it; or its header is wrong"
        raise UserError(f"{text} voxels are more than the limit of {MAX_VOXELS:,}", hint=hint, path=path)
    return sizes[0], sizes[1], sizes[2]


def check_finite(array: Array, path: Path | None) -> None:
    """UserError if a value is NaN or infinite."""
    bad = array.size - int(np.count_nonzero(np.isfinite(array)))
    if bad:
        hint = "replace them first, background by 0 (numpy.nan_to_num); no one can know what they stand for"
        raise UserError(f"{bad:,} of {array.size:,} voxels are NaN or infinite", hint=hint, path=path)


def check_affine(geometry: Geometry, path: Path | None) -> None:
    """UserError if the voxels' place in space is not finite, or squeezes the volume flat."""
    problem = "has voxels of no size or axes that coincide"
    try:
        with np.errstate(all="ignore"):
            matrix = geometry.affine
            unit = matrix[:3, :3] / np.linalg.norm(matrix[:3, :3], axis=0)
            usable = bool(np.isfinite(matrix).all() and abs(np.linalg.det(unit)) > 1e-4)
    except (ValueError, ArithmeticError, nib.spatialimages.HeaderDataError) as error:
        usable, problem = False, f"is not valid ({error})"
    if not usable:
        hint = "mend the header: without a valid sform or qform the voxels' place is unknown"
        raise UserError(f"the transform in the header {problem}", hint=hint, path=path)


def check_same_grid(images: Mapping[str, Volume | Geometry], path: Path | None = None) -> None:
    """UserError unless all images of a case have one shape and one place: no corner apart by more than 0.05 mm.

    Files of one grid differ in the last digits of their transforms, by the program that wrote them; what counts is how
    far apart the same voxel lies. images: by the name that the message shall show. path: the case's folder.
    """
    grids = {name: image.geometry if isinstance(image, Volume) else image for name, image in images.items()}
    first, *others = grids
    for name in others:
        shapes = [" x ".join(map(str, grids[n].shape)) for n in (first, name)]
        if shapes[0] != shapes[1]:
            found = f"{first} has {shapes[0]} voxels, {name} has {shapes[1]}"
        elif (apart := float(np.abs(_corners(grids[first]) - _corners(grids[name])).max())) > _GRID_TOLERANCE_MM:
            found = f"{first} and {name} have the same shape but lie {apart:.3g} mm apart"
        else:
            continue
        hint = "register and resample the contrasts of the case to one grid first"
        raise UserError(f"the images of a case are on different grids: {found}", hint=hint, path=path)


def _corners(geometry: Geometry) -> Affine:
    """The eight outermost voxel centres in mm, [8, 3]."""
    ends = np.meshgrid(*((0, size - 1) for size in geometry.shape), indexing="ij")
    corners: Affine = nib.affines.apply_affine(geometry.affine, np.stack(ends, axis=-1).reshape(-1, 3))
    return corners
