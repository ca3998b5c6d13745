"""What a caller may hand over as an image: a path, a nibabel image, an array or a Volume."""

import math
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from polycontrast.data import intensity
from polycontrast.errors import UserError
from polycontrast.io import checks, formats, nifti
from polycontrast.io.volume import Affine, Geometry, Volume

Image = str | Path | Volume | nib.spatialimages.SpatialImage | np.ndarray


def as_volume(image: Image) -> Volume:
    """Any of those as a Volume, its background 0. An array [X, Y, Z] is taken as 1 mm voxels along right, anterior,
    superior.

    Raises UserError for anything else, for a shape that is not 3-D, for values that are not real numbers, and for NaN
    or infinite ones.
    """
    if isinstance(image, str | Path):
        return intensity.zero_background(formats.read(image))
    values: Any  # an array, or what reads it from a file
    if isinstance(image, Volume):
        values, geometry = image.array, image.geometry
    elif isinstance(image, nib.Nifti1Pair):
        values, geometry = image.dataobj, nifti.geometry_of(image.header)
    elif isinstance(image, nib.spatialimages.SpatialImage):
        values, geometry = image.dataobj, _placed(image.shape, image.affine)
    elif isinstance(image, np.ndarray):
        values, geometry = image, _placed(image.shape, np.eye(4))
    else:
        raise UserError(
            f"an image is expected, found {type(image).__name__}",
            hint="give a path, a nibabel image, an array or a Volume",
        )
    if values.dtype.kind not in "buif":
        raise UserError(f"voxels of type {values.dtype}", hint="convert the image to real numbers, one a voxel")
    if math.prod(values.shape) != math.prod(geometry.shape):
        raise UserError(f"an array of shape {values.shape} in a volume of shape {geometry.shape}")
    with np.errstate(over="ignore"):  # what overflows is infinite, and refused as such
        array = np.asarray(values, dtype=np.float32).reshape(geometry.shape)  # a file's scaling is then done in float32
    path = image.path if isinstance(image, Volume) else None
    checks.check_finite(array, path)
    return intensity.zero_background(Volume(array, geometry, path))


def _placed(shape: tuple[int, ...], affine: Affine) -> Geometry:
    """The place given by a matrix, which is looked at before a qform is made of it."""
    header = nib.Nifti1Header()
    header.set_sform(affine, code=1)
    checks.check_affine(Geometry(header), None)
    return Geometry.from_affine(checks.check_shape(shape, None), affine)
