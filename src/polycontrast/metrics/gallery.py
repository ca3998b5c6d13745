"""Which cases to look at, and their pictures: the worst and the median of each contrast by PSNR in the brain."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from polycontrast import pictures
from polycontrast.data import grid
from polycontrast.io.volume import Array
from polycontrast.metrics.protocol import Real
from polycontrast.metrics.tables import SYSTEM, Row


def choose(rows: Sequence[Row]) -> Iterator[tuple[str, str, str]]:
    """(contrast, "worst" or "median", case); of an even number of cases the median is the lower middle one."""
    for contrast in dict.fromkeys(r.contrast for r in rows):
        own = [r for r in rows if (r.contrast, r.system, r.region) == (contrast, SYSTEM, "brain")]
        known = sorted((value, r.case) for r in own if (value := r.values["psnr"]) is not None)
        if known:
            yield contrast, "worst", known[0][1]
            yield contrast, "median", known[(len(known) - 1) // 2][1]


def draw(path: Path, name: str, real: Real, given: str, contrast: str, image: Array) -> None:
    """The mosaic input, synthetic, real, difference through the lesion, or through the brain if there is none."""
    truth = real.images[contrast]
    shown = {given: real.given} if real.given is not None else {}
    shown |= {f"{contrast} from {given}": image, f"real {contrast}": truth, "difference": image - truth}
    affine = real.geometry.affine
    lesion = real.tumour if real.tumour is not None and real.tumour.any() else real.brain
    pictures.mosaic(
        path,
        {label: grid.to_canonical(array, affine) for label, array in shown.items()},
        spacing=grid.canonical_spacing(affine),
        center=pictures.center(grid.to_canonical(lesion, affine)),
        title=f"{real.id}: {contrast} from {given} ({name} PSNR in the brain)",
        synthetic={f"{contrast} from {given}"},
    )
