"""Judge a folder of synthetic volumes against the real ones: tables, intervals, controls, pictures and a report.

A case at a time is held in memory, two of its volumes being judged at once. What cannot be judged becomes a flagged row
with its reason; the rest of the cohort is judged all the same.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polycontrast.contrasts import DEFAULT, canonical_set, slug
from polycontrast.data.split import read_roles, with_role
from polycontrast.errors import UserError
from polycontrast.io.files import check_folder, write_json
from polycontrast.io.layout import Case, find_cases
from polycontrast.io.volume import Array
from polycontrast.metrics import controls, gallery, looks, report, tables
from polycontrast.metrics.controls import Fitted
from polycontrast.metrics.looks import Look
from polycontrast.metrics.measures import require_packages
from polycontrast.metrics.protocols import PROTOCOLS, Protocol, Values
from polycontrast.metrics.reference import (
    BRAIN,
    COPY,
    SEGMENTATION,
    Real,
    Reference,
    load,
    read_prediction,
    reference,
    same_grid,
)
from polycontrast.metrics.synthetic import contrasts_in, finder, given_to, synthetic_files
from polycontrast.metrics.tables import NIQE_MODELS, SUMMARY, SYSTEM, Failure, Row
from polycontrast.metrics.threads import one_blas_thread

if TYPE_CHECKING:
    from polycontrast.metrics.downstream import Outcome, Segmenters

DOWNSTREAM = "downstream"  # its place among the failures of a case
FIT_ROLE = "gan"  # the mean image and the NIQE models are made of these cases, unless told otherwise
JUDGED = ("polycontrast", "brasyn")  # the honest protocol, and the one that rescales each image by itself
THREADS = 2


@dataclass(frozen=True)
class Known:
    """Of another system's evaluation with the same data, split, roles and have: what does not depend on the system.

    rows: of the controls. outcomes: of the segmenters' inputs without a synthetic image.
    """

    fitted: Fitted | None = None
    rows: Sequence[Row] = ()
    outcomes: "Sequence[Outcome]" = ()

    @cached_property
    def by_place(self) -> dict[tuple[str, str, str, str, str], Values]:
        """By case, contrast, system, protocol and region."""
        return {(r.case, r.contrast, r.system, r.protocol, r.region): r.values for r in self.rows}


@dataclass(frozen=True)
class Evaluation:
    """What was found: a row per case, contrast, system, protocol and region; what failed; the segmenter's outcomes; the
    summary as written; its folder."""

    rows: list[Row]
    failures: list[Failure]
    outcomes: "list[Outcome]"
    summary: dict[str, Any]
    out: Path


@dataclass
class _Found:
    """What is gathered case by case."""

    rows: list[Row] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    outcomes: "list[Outcome]" = field(default_factory=list)
    off_grid: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Plan:
    """What is judged, and how. cases: by id, and flawed, why others are none. find: (case, contrast) -> the volume.
    wanted: the contrasts judged of each case."""

    cases: Mapping[str, Case]
    flawed: Mapping[str, str]
    find: Callable[[str, str], Path]
    given: tuple[str, ...]
    wanted: Mapping[str, Sequence[str]]
    protocols: tuple[Protocol, ...]
    fitted: Fitted
    segmenters: "Segmenters | None"
    known: Known


def evaluate(
    synthetic: Path,
    data: Path,
    out: Path,
    *,
    want: Sequence[str] | None = None,
    split: Path | None = None,
    role: str = "test",
    have: Sequence[str] | None = None,
    fit_role: str = FIT_ROLE,
    protocols: Sequence[str] = JUDGED,
    drops: Mapping[str, str] | None = None,
    segmenters: "Segmenters | None" = None,
    known: Known | None = None,
    command: str = "",
    notify: Callable[[str], None] = lambda _: None,
) -> Evaluation:
    """Judge `<case>_<contrast>_synth.nii.gz` anywhere below `synthetic` against the cases of `data`.

    want: the contrasts judged; those found in `synthetic` if None. split: a JSON file {role: [case, ...]}; cases of
    `role` are judged and those of `fit_role` make the mean image and the NIQE models; without it every case is judged
    and these are left out. have: what the system was given, what the sidecars say or T2 if None; the first is the
    control *copy*. protocols: by which names of `PROTOCOLS`. drops: case -> the one contrast that is judged of it, made
    from all others (BraSyn; instead of have). segmenters: judge by segmentation too (metrics/downstream.py). known:
    what another system's evaluation has found already. command: told in the report. notify: called with each case's id.

    Writes `cases.csv`, `failures.csv` if any, `summary.md`, `report.html` with its charts and mosaics as files and,
    last of all, `summary.json` into `out`, in place of an earlier evaluation's. Raises UserError if there is nothing to
    judge, or nothing given, or something else than the sidecars say, or if `out` cannot be written.
    """
    require_packages()
    synthetic, data, out = Path(synthetic), Path(data), Path(out)  # a string will do
    by_name, files, known = chosen(protocols), synthetic_files(synthetic), known or Known()
    contrasts = canonical_set(want) if want else contrasts_in(files)
    given = DEFAULT if drops is not None else given_to(files, have, contrasts)
    check_folder(out)
    flawed: dict[str, str] = {}
    cases = {case.id: case for case in find_cases(data, flawed)}
    judged, fitting = roles_of(split, role, fit_role) if split else (sorted({*cases, *flawed}), [])
    if drops is not None:
        judged = [case for case in judged if case in drops]
    wanted = {case: contrasts if drops is None else (drops[case],) for case in judged}
    fitted = known.fitted or controls.fit([cases[i] for i in fitting if i in cases], contrasts)
    missing = {case: flawed.get(case, "not in the data") for case in fitting if case not in cases}
    plan = _Plan(cases, flawed, finder(files, synthetic), given, wanted, by_name, fitted, segmenters, known)
    found = _Found()
    with one_blas_thread():
        for case_id in judged:
            notify(case_id)
            _judge_case(case_id, plan, found)
    facts = {
        "have": given, "want": contrasts, "dropped": drops is not None, "role": role if split else "every case",
        "cases": len(judged), "judged": judged, "fitted": fitting,
        "mean_image": controls.describe(fitted.mean_image, fit_role if split else None, missing, found.off_grid),
        "niqe_mr": {contrast: model.about for contrast, model in fitted.niqe.items()},
    }  # fmt: skip
    summary = _write(out, plan, found, facts, command)
    return Evaluation(found.rows, found.failures, found.outcomes, summary, out)


def summarised(
    out: Path,
    rows: Sequence[Row],
    failures: Sequence[Failure],
    facts: Mapping[str, Any],
    outcomes: "Sequence[Outcome] | None",
) -> dict[str, Any]:
    """The summary of an evaluation, whose tables are written into `out` in place of an earlier one's: `cases.csv`,
    `summary.md`, `failures.csv` if any and, with outcomes (None: there was no segmenter), `downstream.csv`.

    The caller writes it as `SUMMARY`, which tells that an evaluation is whole, when all else is there.
    """
    tables.clear(out)
    summary, segmented = tables.summarise_rows(rows, failures, facts), ""
    if outcomes is not None:
        from polycontrast.metrics import downstream

        summary["downstream"] = downstream.summarise(outcomes)
        segmented = f"## Downstream segmentation\n\n{downstream.markdown(summary['downstream'])}\n"
        downstream.write(out, outcomes)
    tables.write(out, rows, failures, summary, segmented)
    return summary


def _write(out: Path, plan: _Plan, found: _Found, facts: Mapping[str, Any], command: str) -> dict[str, Any]:
    """Everything into `out`, the summary last of all: then it is whole."""
    outcomes = None if plan.segmenters is None else found.outcomes
    summary = summarised(out, found.rows, found.failures, facts, outcomes)
    if plan.fitted.niqe:
        write_json(out / NIQE_MODELS, {contrast: model.to_dict() for contrast, model in plan.fitted.niqe.items()})
    for contrast, name, case_id in gallery.choose(found.rows):
        given = _given(plan, case_id)
        path = out / f"{name}_{slug(contrast)}.png"
        gallery.draw(path, name, load(plan.cases[case_id], given), given, contrast, plan.find(case_id, contrast))
    report.write(out, summary, found.rows, found.failures, found.looks, command, found.outcomes)
    write_json(out / SUMMARY, summary)
    return summary


def chosen(names: Sequence[str]) -> tuple[Protocol, ...]:
    """The protocols of these names; a UserError that lists them if there is another."""
    if strange := [name for name in names if name not in PROTOCOLS]:
        raise UserError(f"no protocol is called {strange[0]!r}", hint=f"protocols: {', '.join(PROTOCOLS)}")
    return tuple(PROTOCOLS[name] for name in dict.fromkeys(names))


def roles_of(split: Path, role: str, fit_role: str = FIT_ROLE) -> tuple[list[str], list[str]]:
    """The cases that are judged and those that the mean image is made of. Only of the usual role there may be none."""
    roles = read_roles(split)
    fitting = roles.get(fit_role, []) if fit_role == FIT_ROLE else with_role(roles, fit_role, split)
    return with_role(roles, role, split), fitting


def _judge_case(case_id: str, plan: _Plan, found: _Found) -> None:
    wanted = plan.wanted[case_id]
    try:
        real = _load(plan, case_id)
    except UserError as error:
        found.failures += [_failure(case_id, contrast, error) for contrast in wanted]
        return
    for part in (SEGMENTATION, COPY, BRAIN):  # the contrasts can be judged all the same
        if part in real.flaws:
            found.failures.append(Failure(case_id, part, real.flaws[part]))
    mean_image = plan.fitted.mean_image
    if mean_image is not None and not same_grid(mean_image.geometry, real.geometry):
        found.off_grid.append(case_id)
    made: dict[str, Array] = {}
    for contrast in wanted:
        try:
            against = reference(real, contrast, plan.fitted.niqe.get(contrast))
            image = read_prediction(plan.find(case_id, contrast), real)
            rows, seen = _rows(real, against, image, plan), looks.look(case_id, against, image)
        except UserError as error:
            found.failures.append(_failure(case_id, contrast, error))
            continue
        made[contrast] = image
        found.rows += rows
        found.looks.append(seen)
    _segment(real, made, plan, found)


def _segment(real: Real, made: Mapping[str, Array], plan: _Plan, found: _Found) -> None:
    """Judge a case by segmentation, if that is asked for and anything of it was made; say what its input lacks."""
    if plan.segmenters is None:
        return
    from polycontrast.metrics import downstream

    if missing := downstream.lacking(real, made, plan.segmenters):
        found.failures.append(Failure(real.id, DOWNSTREAM, f"no {', no '.join(missing)}"))
    if made:
        found.outcomes += downstream.judge_case(real, made, plan.segmenters, plan.known.outcomes)


def _rows(real: Real, against: Reference, image: Array, plan: _Plan) -> list[Row]:
    """The rows of the system and of its controls, several of them judged at once."""
    known = plan.known.by_place
    systems = {SYSTEM: image} | controls.predictions(against.contrast, real, plan.fitted.mean_image)

    def rows(system: str) -> list[Row]:
        place = real.id, against.contrast, system
        found = []
        for protocol in plan.protocols:
            if system != SYSTEM and (*place, protocol.name, protocol.regions[0]) in known:
                judged = {region: known[*place, protocol.name, region] for region in protocol.regions}
            else:
                judged = protocol.judge(against, systems[system])
            found += [Row(*place, protocol.name, region, values) for region, values in judged.items()]
        return found

    with ThreadPoolExecutor(THREADS) as pool:
        return [row for found in pool.map(rows, systems) for row in found]


def _given(plan: _Plan, case_id: str) -> str:
    """The first given contrast that is not itself asked for (of BraSyn's cases each lacks another)."""
    return next((contrast for contrast in plan.given if contrast not in plan.wanted[case_id]), "")


def _load(plan: _Plan, case_id: str) -> Real:
    if case_id in plan.flawed:
        raise UserError(plan.flawed[case_id])
    if case_id not in plan.cases:
        raise UserError("no truth: the case is in the split file but not in the data")
    return load(plan.cases[case_id], _given(plan, case_id))


def _failure(case_id: str, contrast: str, error: UserError) -> Failure:
    where = f" ({error.path.name})" if error.path else ""
    return Failure(case_id, contrast, f"{error.message}{where}")
