"""Look at a case as training would: every file readable, one grid, known labels."""

from dataclasses import dataclass

import numpy as np

from polycontrast.errors import UserError
from polycontrast.io import formats, labels
from polycontrast.io.checks import check_same_grid
from polycontrast.io.layout import Case
from polycontrast.io.volume import Geometry, Volume


@dataclass(frozen=True)
class Checked:
    """A case in words: id, convention, contrasts, segmentation, grid; its first problem, "" if there is none; and what
    is unlike the images of other brains, as a skull."""

    described: tuple[str, str, str, str, str]
    problem: str
    flags: tuple[str, ...] = ()


def check_case(case: Case, *, voxels: bool = True) -> Checked:
    """Read a case's headers, and its voxels if asked to, and say what was found."""
    segmentation, grid, problem = "none", "", ""
    flags: tuple[str, ...] = ()
    try:
        if not case.contrasts:
            raise UserError("no image of a known contrast, only a segmentation")
        volumes = {name: formats.read(path) for name, path in case.contrasts.items()} if voxels else {}
        places = {
            name: volumes[name].geometry if voxels else formats.read_geometry(path)
            for name, path in case.contrasts.items()
        }
        first = next(iter(places.values()))
        size, mm = " x ".join(map(str, first.shape)), " x ".join(f"{s:.3g}" for s in first.spacing)
        grid = f"{size} of {mm} mm, {first.orientation}"
        if case.segmentation is not None:
            places["segmentation"], segmentation = _segmentation(case, voxels)
        check_same_grid(places)
        flags = _flags(volumes) if voxels else ()
    except UserError as error:
        where = f" ({error.path.name})" if error.path else ""
        problem = f"{error.message}{where}"
    return Checked((case.id, case.convention, " ".join(case.contrasts), segmentation, grid), problem, flags)


def _flags(volumes: dict[str, Volume]) -> tuple[str, ...]:
    from polycontrast.infer.flags import case_flags  # with it comes torch, which headers alone do not need

    return tuple(case_flags(volumes, {}))


def _segmentation(case: Case, voxels: bool) -> tuple[Geometry, str]:
    """Its place, and its label map with the volumes of the regions in ml."""
    assert case.segmentation is not None
    if not voxels:
        return formats.read_geometry(case.segmentation), case.labels
    values, geometry = formats.read_labels(case.segmentation)
    regions = labels.regions(values, case.labels, case.segmentation)
    ml = float(np.prod(geometry.spacing)) / 1000
    sizes = " ".join(f"{region} {regions[region].sum() * ml:.1f}" for region in labels.told(case.labels))
    return geometry, f"{case.labels}: {sizes} ml"
