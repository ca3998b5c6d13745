"""Segmentations: what the label values of each year mean, told as three regions.

The regions are those of the BraTS challenge: the whole tumour with its oedema, the core (everything but the
oedema), and the part of the core that enhances (Menze et al., IEEE TMI 2015, section II-B).
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from polycontrast.errors import UserError

REGIONS = ("whole", "core", "enhancing")

# One row per meaning of the values: region -> values; "other" are values that are known and lie in no region.
# A region that a map has no row for cannot be told from its values.
LABEL_MAPS: dict[str, dict[str, tuple[int, ...]]] = {
    # BraTS 2017 to 2021: 1 necrosis and non-enhancing core, 2 oedema, 4 enhancing
    "brats": {"whole": (1, 2, 4), "core": (1, 4), "enhancing": (4,)},
    # BraTS 2013 and 2015: 1 necrosis, 2 oedema, 3 non-enhancing core, 4 enhancing
    "brats2013": {"whole": (1, 2, 3, 4), "core": (1, 3, 4), "enhancing": (4,)},
    # BraTS 2023: 1 necrosis and non-enhancing core, 2 oedema, 3 enhancing
    "brats2023": {"whole": (1, 2, 3), "core": (1, 3), "enhancing": (3,)},
    # BraTS 2024 and 2025 after treatment: as 2023, and 4 resection cavity
    "brats2024": {"whole": (1, 2, 3), "core": (1, 3), "enhancing": (3,), "other": (4,)},
    # nnU-Net's BraTS and the Medical Segmentation Decathlon: 1 oedema, 2 non-enhancing core, 3 enhancing
    "nnunet": {"whole": (1, 2, 3), "core": (2, 3), "enhancing": (3,)},
    # 1 oedema, 2 core, nothing said about enhancement
    "oedema-core": {"whole": (1, 2), "core": (2,)},
    # a lesion mask
    "binary": {"whole": (1,)},
}


def check_map(label_map: str, path: Path | None = None) -> str:
    """The name itself if it is a label map's; else a UserError that lists them. path: the file that has the name."""
    if label_map not in LABEL_MAPS:
        raise UserError(f"unknown label map {label_map!r}", hint=f"label maps: {', '.join(LABEL_MAPS)}", path=path)
    return label_map


def told(label_map: str) -> tuple[str, ...]:
    """The regions that values under this map can tell; the others are empty for want of knowledge, not of tumour."""
    return tuple(region for region in REGIONS if region in LABEL_MAPS[check_map(label_map)])


def regions(array: NDArray[np.int16], label_map: str, path: Path | None = None) -> dict[str, NDArray[np.bool_]]:
    """The masks "whole", "core" and "enhancing", each of the shape of `array`; one that the map cannot tell is empty.

    UserError if a value other than 0 is not in the map: a wrong map must not pass for a small tumour. path: the
    segmentation's file, for that message.
    """
    rows = LABEL_MAPS[check_map(label_map)]
    known = sorted({0, *(value for row in rows.values() for value in row)})
    strange = ~np.isin(array, known)
    if strange.any():
        values = ", ".join(map(str, np.unique(array[strange])[:8]))
        hint = (
            f"name another label map ({', '.join(LABEL_MAPS)}) for the case, in labels.json of the cohort folder "
            '({"CASE": "MAP"}) or in the column "labels" of the CSV'
        )
        raise UserError(f"label values {values} are not in the label map {label_map!r} {known}", hint=hint, path=path)
    return {region: np.isin(array, rows.get(region, ())) for region in REGIONS}
