"""A drawn patient as protocols see it: smooth tissue in an ellipsoid that the volume's lower border cuts."""

import numpy as np
from numpy.typing import NDArray

from polycontrast.data.intensity import Intensity
from polycontrast.metrics.reference import Reference
from polycontrast.metrics.regions import regions

SHAPE = (36, 40, 26)
SPACING = (3.0, 3.0, 3.0)
MEAN, SD = 300.0, 80.0  # of the brain, in the file's units
Image = NDArray[np.float32]


def _grid(shape: tuple[int, int, int]) -> list[NDArray[np.float64]]:
    return list(np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij"))


def reference(*, tumour: bool = True, segmented: bool = True, shape: tuple[int, int, int] = SHAPE) -> Reference:
    """Normalised units, all tissue above 0 in the file's units; the tumour is brighter and a tenth of the brain."""
    x, y, z = _grid(shape)
    brain = (x / 0.8) ** 2 + (y / 0.85) ** 2 + ((z + 0.4) / 0.9) ** 2 < 1
    lesion = brain & ((x - 0.3) ** 2 + (y + 0.2) ** 2 + (z + 0.3) ** 2 < 0.15) & tumour
    tissue = 0.5 + 0.3 * np.sin(7 * x + 1) * np.cos(6 * y) + 0.15 * np.sin(9 * z) + 0.3 * lesion
    masks = dict.fromkeys(("whole", "core", "enhancing"), lesion) if segmented else None
    truth = np.where(brain, tissue, 0).astype(np.float32)
    return Reference("T1", truth, Intensity(MEAN, SD), regions(brain, masks, SPACING), 1.2, SPACING)


def prediction(against: Reference) -> Image:
    """Another gain, another pattern, and no tumour to see."""
    x, y, z = _grid(against.truth.shape)
    image = 0.55 + 0.3 * np.sin(7 * x + 0.8) * np.cos(6 * y) + 0.1 * np.sin(9 * z) + 0.04 * np.sin(40 * x * y + 31 * z)
    return np.where(against.brain, image, 0).astype(np.float32)


def in_file_units(image: Image, against: Reference) -> NDArray[np.float64]:
    """The brain's mean of 0.5 and SD of 0.25 become the file's."""
    return np.where(against.brain, (image.astype(np.float64) - 0.5) / 0.25 * SD + MEAN, 0)


def from_file_units(image: NDArray[np.float64], against: Reference) -> Image:
    return np.where(against.brain, (image - MEAN) / SD * 0.25 + 0.5, 0).astype(np.float32)
