"""Judge a folder of synthetic volumes against the real ones: tables, intervals, controls and pictures.

A case at a time is held in memory. What cannot be judged becomes a flagged row with its reason; the rest of the cohort
is judged all the same.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polycontrast.contrasts import canonical_set, find, slug
from polycontrast.data.split import read_roles, with_role
from polycontrast.errors import UserError
from polycontrast.io.files import write_json
from polycontrast.io.layout import Case, find_cases
from polycontrast.metrics import controls, gallery, tables
from polycontrast.metrics.controls import MeanImage
from polycontrast.metrics.measures import require_skimage
from polycontrast.metrics.protocol import REGIONS, Real, Values, judge, load, read_prediction, reference, same_grid
from polycontrast.metrics.tables import SUMMARY, SYSTEM, Failure, Row

SUFFIX = "_synth.nii.gz"
FIT_ROLE = "gan"  # the mean image is made of these cases, unless told otherwise
Known = Mapping[tuple[str, str, str, str], Values]  # by case, contrast, system and region


@dataclass(frozen=True)
class Evaluation:
    """What was found: a row per case, contrast, system and region; what failed; the summary as written; its folder."""

    rows: list[Row]
    failures: list[Failure]
    summary: dict[str, Any]
    out: Path


def evaluate(
    synthetic: Path,
    data: Path,
    out: Path,
    *,
    want: Sequence[str] | None = None,
    split: Path | None = None,
    role: str = "test",
    have: Sequence[str] = ("T2",),
    fit_role: str = FIT_ROLE,
    known: Sequence[Row] = (),
    notify: Callable[[str], None] = lambda _: None,
) -> Evaluation:
    """Judge `<case>_<contrast>_synth.nii.gz` anywhere below `synthetic` against the cases of `data`.

    want: the contrasts judged; those found in `synthetic` if None. split: a JSON file {role: [case, ...]}; cases of
    `role` are judged and those of `fit_role` make the mean image; without it every case is judged and that control is
    left out. have: what the system was given; the first is the control *copy*. known: rows of an evaluation with the
    same data, split, roles and have; its controls are not computed again. notify: called with each case's id.

    Writes `cases.csv`, `failures.csv` if any, `summary.md`, `worst_<contrast>.png`, `median_<contrast>.png` and, last
    of all, `summary.json` into `out`. Raises UserError if there is nothing to judge.
    """
    require_skimage()
    files = _synthetic_files(synthetic)
    contrasts = canonical_set(want) if want else _contrasts_in(files)
    given = canonical_set(have)
    cases = {case.id: case for case in find_cases(data)}
    judged, fitting = roles_of(split, role, fit_role) if split else (sorted(cases), [])
    controls_known = {(r.case, r.contrast, r.system, r.region): r.values for r in known}
    mean_image = controls.fit_mean_image([cases[i] for i in fitting if i in cases], contrasts)

    rows: list[Row] = []
    failures: list[Failure] = []
    off_grid: list[str] = []
    for case_id in judged:
        notify(case_id)
        try:
            real = _load(cases, case_id, given[0])
        except UserError as error:
            failures += [_failure(case_id, contrast, error) for contrast in contrasts]
            continue
        if mean_image is not None and not same_grid(mean_image.geometry, real.geometry):
            off_grid.append(case_id)
        for contrast in contrasts:
            try:
                rows += _judge(real, contrast, _file(files, case_id, contrast, synthetic), mean_image, controls_known)
            except UserError as error:
                failures.append(_failure(case_id, contrast, error))

    facts = {
        "have": given, "want": contrasts, "role": role if split else "every case", "cases": len(judged),
        "judged": judged, "fitted": fitting,
        "mean_image": {"role": fit_role if split else None} | controls.describe(mean_image, off_grid),
    }  # fmt: skip
    summary = tables.summarise_rows(rows, failures, facts)
    tables.write(out, rows, failures, summary)
    for contrast, name, case_id in gallery.choose(rows):
        real = load(cases[case_id], given[0])
        image = read_prediction(_file(files, case_id, contrast, synthetic), real)
        gallery.draw(out / f"{name}_{slug(contrast)}.png", name, real, given[0], contrast, image)
    write_json(out / SUMMARY, summary)
    return Evaluation(rows, failures, summary, out)


def _judge(real: Real, contrast: str, file: Path, mean_image: MeanImage | None, known: Known) -> list[Row]:
    """The rows of the system and of its controls. The system's prediction is read first: a bad one judges nothing."""
    against = reference(real, contrast)
    systems = {SYSTEM: read_prediction(file, real)} | controls.predictions(contrast, real, mean_image)
    rows = []
    for system, image in systems.items():
        place = real.id, contrast, system
        if system != SYSTEM and (*place, REGIONS[0]) in known:
            judged = {region: known[*place, region] for region in REGIONS}
        else:
            judged = judge(against, image)
        rows += [Row(*place, region, values) for region, values in judged.items()]
    return rows


def _load(cases: dict[str, Case], case_id: str, given: str) -> Real:
    if case_id not in cases:
        raise UserError("no truth: the case is in the split file but not in the data")
    return load(cases[case_id], given)


def _synthetic_files(folder: Path) -> dict[str, list[Path]]:
    """Every synthetic volume below the folder, by file name."""
    files: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob(f"*{SUFFIX}")):
        files.setdefault(path.name, []).append(path)
    if not files:
        raise UserError(f"no file named <case>_<contrast>{SUFFIX}", hint="run `polycontrast synth` first", path=folder)
    return files


def _contrasts_in(files: dict[str, list[Path]]) -> tuple[str, ...]:
    names = {find(name.removesuffix(SUFFIX).rpartition("_")[2]) for name in files}
    return tuple(sorted(name for name in names if name))


def _file(files: dict[str, list[Path]], case_id: str, contrast: str, folder: Path) -> Path:
    name = f"{case_id}_{slug(contrast)}{SUFFIX}"
    found = files.get(name, [])
    if len(found) != 1:
        what = "no prediction" if not found else f"{len(found)} predictions"
        raise UserError(f"{what}: {name} is expected once", hint="run `polycontrast synth` again", path=folder)
    return found[0]


def roles_of(split: Path, role: str, fit_role: str = FIT_ROLE) -> tuple[list[str], list[str]]:
    """The cases that are judged and those that the mean image is made of."""
    roles = read_roles(split)
    return with_role(roles, role, split), roles.get(fit_role, [])


def _failure(case_id: str, contrast: str, error: UserError) -> Failure:
    where = f" ({error.path.name})" if error.path else ""
    return Failure(case_id, contrast, f"{error.message}{where}")
