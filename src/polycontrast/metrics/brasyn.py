"""The BraSyn challenge's files: which contrast each case lacks, the folder it hands out, the folder it takes back.

After hongweilibran/BraSyn_tutorial (drop_modality.py and the layouts of its README): of every case, in the order of the
names, one contrast drawn by a fixed seed is withheld and has to be made. The challenge draws over all that a folder
holds, so the same case may lack another contrast in a larger cohort.
"""

import filecmp
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from polycontrast.errors import UserError
from polycontrast.io import formats, nifti
from polycontrast.io.files import atomic_write, open_input
from polycontrast.io.layout import Case
from polycontrast.metrics.tables import Failure

SEED = 123456
NAMES = {"T1ce": "t1c", "T1": "t1n", "FLAIR": "t2f", "T2": "t2w"}  # our name: the challenge's, in the order of its draw


def official_drops(ids: Iterable[str]) -> dict[str, str]:
    """The contrast that each of these cases lacks, {case: contrast}, sorted by case.

    ids: every case of the cohort, in any order: the draw depends on all of them.
    """
    ordered = sorted(set(ids))
    drawn = np.random.RandomState(SEED).randint(0, len(NAMES), size=len(ordered))  # the stream of np.random.seed
    return {case: tuple(NAMES)[index] for case, index in zip(ordered, drawn, strict=True)}


def pseudo_validation(cases: Sequence[Case], drops: Mapping[str, str], out: Path) -> None:
    """Writes what the challenge hands out: `<case>/<case>-t1n.nii.gz` and so on, all but the dropped contrast.

    drops: the dropped contrast of every case. NIfTI files are copied byte by byte, other kinds are converted; contrasts
    that BraTS has no name for are left out. So is the segmentation, which the public script would copy if there is one:
    a system that is judged on tumours must not see it. Safe to run twice. Raises UserError, before anything is written,
    if a dropped contrast lies in `out` already (it is the cohort itself, or was made by other drops), and for images
    that cannot be read.
    """
    for case in cases:
        hidden = _handed_out(case.id, drops[case.id], out)
        if hidden.exists():
            raise UserError("this contrast is to be withheld, but is there", hint="choose a new folder", path=hidden)
    for case in cases:
        for contrast in [c for c in case.contrasts if c in NAMES and c != drops[case.id]]:
            _copy(case.contrasts[contrast], _handed_out(case.id, contrast, out))


def submission(
    cases: Sequence[Case], drops: Mapping[str, str], find: Callable[[str, str], Path], out: Path
) -> list[Failure]:
    """Writes what the challenge takes back: the dropped contrast of each case, `<case>-t1c.nii.gz` and so on, all in
    one folder without sub-folders. Returns what is missing; the rest is written all the same.

    find: (case, contrast) -> the synthetic volume, or a UserError if there is none. Volumes are copied as they are:
    geometry untouched, in normalised units, which may be negative in dark CSF; the challenge rescales every image by
    its own percentiles and raises what is negative to 0. Safe to run twice; an older volume of a case that has none now
    is removed. Raises UserError if that would touch a real image of the case.
    """
    failures = []
    for case in cases:
        contrast = drops[case.id]
        target = out / f"{case.id}-{NAMES[contrast]}.nii.gz"
        if target.exists() and any(target.samefile(path) for path in case.contrasts.values()):
            raise UserError("a real image has this name", hint="choose another folder", path=target)
        try:
            _copy(find(case.id, contrast), target)
        except UserError as error:
            target.unlink(missing_ok=True)
            failures.append(Failure(case.id, contrast, error.message))
    return failures


def _handed_out(case: str, contrast: str, out: Path) -> Path:
    return out / case / f"{case}-{NAMES[contrast]}.nii.gz"


def _copy(source: Path, target: Path) -> None:
    """The same image at `target`, a `.nii.gz`; nothing is done if these bytes are there already."""
    if not source.name.lower().endswith(".nii.gz"):
        volume = formats.read(source)
        nifti.write(target, volume.array, volume.geometry, description=volume.description)
        return
    with open_input(source) as file:
        if not (target.is_file() and filecmp.cmp(source, target, shallow=False)):
            with atomic_write(target) as part, part.open("wb") as copy:
                shutil.copyfileobj(file, copy)
