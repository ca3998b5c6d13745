"""What a caller may hand over as an image: a path, a nibabel image, an array or a Volume."""

from pathlib import Path

import nibabel as nib
import numpy as np

from polycontrast.errors import UserError
from polycontrast.io import checks, formats, nifti
from polycontrast.io.volume import Geometry, Volume

Image = str | Path | Volume | nib.spatialimages.SpatialImage | np.ndarray


def as_volume(image: Image) -> Volume:
    """Any of those as a Volume. An array [X, Y, Z] is taken as 1 mm voxels along right, anterior, superior.

    Raises UserError for anything else, for a shape that is not 3-D, and for NaN or infinite values.
    """
    if isinstance(image, Volume):
        return image
    if isinstance(image, str | Path):
        return formats.read(image)
    if isinstance(image, nib.Nifti1Image):
        values, geometry = np.asanyarray(image.dataobj), nifti.geometry_of(image.header)
    elif isinstance(image, nib.spatialimages.SpatialImage):
        values = np.asanyarray(image.dataobj)
        geometry = Geometry.from_affine(checks.check_shape(values.shape, None), image.affine)
    elif isinstance(image, np.ndarray):
        values, geometry = image, Geometry.from_affine(checks.check_shape(image.shape, None), np.eye(4))
    else:
        raise UserError(
            f"an image is expected, found {type(image).__name__}",
            hint="give a path, a nibabel image, an array or a Volume",
        )
    array = np.asarray(values, dtype=np.float32).reshape(geometry.shape)
    checks.check_finite(array, None)
    return Volume(array, geometry)
