"""Any place in space that a NIfTI header can state: oblique, anisotropic, left- or right-handed, with any codes."""

import nibabel as nib
import numpy as np
from hypothesis import strategies as st

from polycontrast.io import nifti
from polycontrast.io.volume import Geometry

numbers = st.floats(-1, 1, width=32)


def affine(
    spacing: tuple[float, ...], angles: tuple[float, ...], offset: tuple[float, ...], order: tuple[int, ...] = (0, 1, 2)
) -> np.ndarray:
    """[4, 4] of axes in this order, turned by these angles (radians) about x, y, z; negative spacing flips an axis."""
    matrix = np.eye(4)
    matrix[:3, :3] = (nib.eulerangles.euler2mat(*reversed(angles)) @ np.diag(spacing))[:, list(order)]
    matrix[:3, 3] = offset
    return matrix


@st.composite
def affines(draw: st.DrawFn) -> np.ndarray:
    spacing = [draw(st.floats(2, 9, width=32)) * draw(st.sampled_from([1, -1])) for _ in range(3)]
    angles = [3.2 * draw(numbers) for _ in range(3)]
    offset = [200 * draw(numbers) for _ in range(3)]
    return affine(tuple(spacing), tuple(angles), tuple(offset), tuple(draw(st.permutations(range(3)))))


@st.composite
def geometries(draw: st.DrawFn) -> Geometry:
    """Shapes from 2 to 13 voxels an edge; sform and qform agree, differ, or are not set at all."""
    kind = draw(st.sampled_from([nib.Nifti1Header, nib.Nifti2Header]))
    header = kind()
    header.set_data_shape([draw(st.integers(2, 13)) for _ in range(3)])
    header["pixdim"][1:4] = [draw(st.floats(2, 9, width=32)) for _ in range(3)]
    header.set_qform(draw(affines()), code=draw(st.integers(0, 4)))
    if code := draw(st.integers(0, 4)):
        header.set_sform(draw(affines()), code=code)
    header["xyzt_units"] = draw(st.sampled_from([0, 2, 10]))
    return nifti.geometry_of(header)
