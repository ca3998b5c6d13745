"""Small files to read: NIfTI images to the letter, and trees of images by their names."""

import gzip
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

Save = Callable[..., Path]
Tree = Callable[..., Path]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Writes an array as NIfTI by nibabel's own means: save(name, array, affine, dtype)."""

    def write(name: str, array: NDArray[np.generic], affine: NDArray[np.float64] | None = None) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(array, np.eye(4) if affine is None else affine, dtype=array.dtype), path)
        return path

    return write


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Makes a folder of tiny images of these relative names; returns the folder."""
    content = nib.Nifti1Image(np.zeros((2, 2, 2), np.uint8), np.eye(4)).to_bytes()

    def plant(*names: str, root: str = "cohort") -> Path:
        for name in names:
            path = tmp_path / root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        return tmp_path / root

    return plant
