"""Which cases to look at, and their pictures: the worst, the median and the best of each contrast by PSNR in the
brain."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from polycontrast import pictures
from polycontrast.errors import UserError
from polycontrast.metrics.protocols import POLYCONTRAST
from polycontrast.metrics.reference import Real, read_beside, read_prediction
from polycontrast.metrics.tables import SYSTEM, Row


def choose(rows: Sequence[Row]) -> Iterator[tuple[str, str, str]]:
    """(contrast, "worst", "median" or "best", case); of an even number of cases the median is the lower middle one. No
    case is chosen twice."""
    place = SYSTEM, POLYCONTRAST.name, "brain"
    for contrast in dict.fromkeys(r.contrast for r in rows):
        own = [r for r in rows if r.contrast == contrast and (r.system, r.protocol, r.region) == place]
        known = sorted((value, r.case) for r in own if (value := r.values["psnr"]) is not None)
        last, drawn = len(known) - 1, set()
        for name, rank in (("worst", 0), ("median", last // 2), ("best", last)):
            if known and rank not in drawn:
                yield contrast, name, known[rank][1]
            drawn.add(rank)


def draw(path: Path, name: str, real: Real, given: str, contrast: str, file: Path) -> None:
    """The mosaic input, synthetic, real, difference and, if it can be read, confidence, through lesion or brain.

    file: the synthetic volume; its confidence map, if any, is `..._confidence.nii.gz` beside it.
    """
    truth, image = real.images[contrast], read_prediction(file, real)
    shown = {given: real.given} if real.given is not None else {}
    made = f"{contrast} from {given}" if given else f"synthetic {contrast}"
    shown |= {made: image, f"real {contrast}": truth, "difference": image - truth}
    with suppress(UserError):  # absent, damaged or on another grid: it was not judged, the picture goes without
        shown["confidence"] = read_beside(file.with_name(file.name.replace("_synth.", "_confidence.")), real)
    pictures.mosaic(
        path,
        shown,
        spacing=real.spacing,
        center=pictures.center(real.focus),
        title=f"{real.id}: {made} ({name} PSNR in the brain)",
        synthetic={made, "confidence"},
    )
