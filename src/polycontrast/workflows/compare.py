"""Several systems under one protocol: train each for as many images, synthesise the judged role, one table and picture.

    OUT/<system>/run          the run, or the set of runs
    OUT/<system>/synthetic    its volumes; evaluation: its own tables, with paired differences to the controls
    OUT/<system>/trained.json what was trained, once it is; cost.json: seconds, volumes and peaks of memory
    OUT/classifier            the classifier of contrasts; segmenter: the downstream segmenters, if asked for
    OUT/compare.csv, .json, .md, .png; recognised.json: what the classifier found of each case

Everything goes on where it was stopped: training, synthesis and judging that are finished are not done again.
"""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from polycontrast import __version__, config, recipes
from polycontrast.contrasts import DEFAULT
from polycontrast.data.cache import Entry
from polycontrast.data.configs import PhotoConfig
from polycontrast.data.split import of_same_subjects
from polycontrast.errors import UserError
from polycontrast.infer.cohort import Done, run_cohort
from polycontrast.infer.sets import load
from polycontrast.io.files import read_json, write_json
from polycontrast.io.layout import Case
from polycontrast.metrics import classifier
from polycontrast.metrics.controls import CONTROLS
from polycontrast.metrics.downstream import FIXED
from polycontrast.metrics.evaluate import FIT_ROLE
from polycontrast.metrics.measures import require_packages
from polycontrast.recipes import Recipe
from polycontrast.workflows import costs, scoreboard, significance
from polycontrast.workflows.cohort import cached_cases, cases_of, check_apart
from polycontrast.workflows.judging import Shared, evaluation, open_segmenters
from polycontrast.workflows.setting import Setting, apart
from polycontrast.workflows.training import train_ways

CLASSIFIER, SEGMENTER, RECOGNISED = "classifier", "segmenter", "recognised.json"
TAKEN = (CLASSIFIER, SEGMENTER, *CONTROLS, *FIXED)  # names of what stands beside the systems


def compare(
    systems: Mapping[str, Recipe | Path],
    setting: Setting,
    out: Path,
    *,
    cache: Path | None = None,
    tell: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Compare systems by name: recipes, which are trained, and folders of runs or sets of runs that are there.

    Returns what compare.json holds. A system that fails (a loss that is not finite, say) is told and the others go on;
    `failures` says why, `leaks` which judged cases a system was trained on. Raises UserError before anything is trained
    if a system cannot do what is asked for.
    """
    require_packages(downstream=setting.downstream)
    check_apart(setting.role, FIT_ROLE, "the mean image is made of", hint="judge cases of another role")
    against = setting.against or next(iter(systems))
    if against not in systems:
        raise UserError(f"no system {against!r} to compare with", hint=f"there are: {', '.join(systems)}")
    for name, system in systems.items():
        check(name, system, setting)
    real = cases_of(setting.data, setting.split, setting.role)
    cases = [_given(case, setting.have) for case in real]
    tell("training the classifier of contrasts, or reading it")
    judge, about = _classifier(setting, out / CLASSIFIER)
    found: dict[str, dict[str, Any]] = {}
    failures: dict[str, list[str]] = {}
    shared = Shared(setting, open_segmenters(setting, setting.segmenter or out / SEGMENTER, tell), tell)
    for name, system in systems.items():
        try:
            run = system if isinstance(system, Path) else _trained(system, setting, out / name, cache, tell)
            found[name], failures[name] = _judged(run, cases, setting, out / name, shared, tell)
        except UserError as error:
            failures[name] = [str(error)]
            tell(f"{name}: FAILED: {error}")
    tell("classifying the synthetic volumes")
    synthetic = {name: out / name / "synthetic" for name in found}
    shares = classifier.recognised(judge, real, synthetic, setting.want)
    result = scoreboard.summarised(found, shares, _facts(systems, setting, len(cases)) | about, failures)
    result["significance"] = significance.among(out, found, against)
    write_json(out / RECOGNISED, shares)
    scoreboard.write(out, result)
    try:
        if scoreboard.draw(out / "compare.png", real, synthetic, setting.have[0], setting.want) is None:
            tell("no case was synthesised by every system: there is no picture")
    except Exception as error:  # whatever it is: the tables are there
        tell(f"there is no picture: {error}")
    return result


def check(name: str, system: Recipe | Path, setting: Setting) -> None:
    """UserError if the name cannot be a folder's or the system cannot do what is asked for."""
    if both := [contrast for contrast in setting.want if contrast in setting.have]:
        raise UserError(f"both given and wanted: {', '.join(both)}", hint="name each contrast once")
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise UserError(f"a system cannot be called {name!r}", hint="letters, digits, _, - and . make a name")
    if name in TAKEN:
        hint = "tables and folders have something else of this name"
        raise UserError(f"a system cannot be called {name!r}", hint=hint)
    if isinstance(system, Path):
        load(system).check(setting.have, setting.want)
        return
    if isinstance(system.data, PhotoConfig):
        raise UserError(
            f"the recipe {system.name} learns from photographs", hint="--size mr or small takes the one for MR volumes"
        )
    if len(system.data.labels) > 1:
        raise UserError(f"the recipe {system.name} learns from several cohorts, and there is one --data")
    if setting.images is None:
        raise UserError(f"for how many images is {name} to be trained?", hint="such as --images 20000")
    for way in budgeted(system, setting)[1].values():
        recipes.check(way)


def budgeted(recipe: Recipe, setting: Setting) -> tuple[Recipe, dict[str, Recipe]]:
    """The recipe with its share of the images, and its runs by name: a set of runs shares them out equally."""
    assert setting.images is not None
    number = len(recipes.with_ways(recipe, setting.have, setting.want))
    train = replace(recipe.train, images=max(1, setting.images // number))
    shared = replace(recipe, train=train)
    return shared, recipes.with_ways(shared, setting.have, setting.want)


def _trained(recipe: Recipe, setting: Setting, folder: Path, cache: Path | None, tell: Callable[[str], None]) -> Path:
    """The finished run of a recipe, or set of runs."""
    shared, ways = budgeted(recipe, setting)
    run, mark = folder / "run", folder / "trained.json"
    # One cache for all systems: of every contrast that any of them may ask for, in one order.
    contrasts = dict.fromkeys((*DEFAULT, *setting.have, *setting.want, *recipe.data.contrasts))
    entries = cached_cases(
        setting.data, setting.split, recipe.train.role, tuple(contrasts), cache, quiet=not setting.progress
    )
    asked = {"runs": {k: config.to_dict(v) for k, v in ways.items()}, "cases": [entry.id for entry in entries]}
    if mark.exists() and _known(read_json(mark)) == asked:
        tell(f"{folder.name}: trained already")
        return run
    tell(f"{folder.name}: training {recipe.name}, {len(ways)} x {shared.train.images} images")
    costs.in_child(setting.prepare, _train, shared, entries, setting, run)
    write_json(mark, asked)
    return run


def _known(told: dict[str, Any]) -> dict[str, Any]:
    """What a mark tells, with settings that are younger than it."""
    ways = {name: config.to_dict(recipes.from_json(way)) for name, way in told["runs"].items()}
    return {**told, "runs": ways}


def _train(recipe: Recipe, entries: Sequence[Entry], setting: Setting, run: Path) -> None:
    """In a process of its own."""
    train_ways(
        recipe, lambda _: entries, run, have=setting.have, want=setting.want, device=setting.device, resume=True,
        progress=setting.progress,
    )  # fmt: skip
    costs.note(run.parent / costs.COST, "training", setting.device)


def _judged(
    run: Path,
    cases: Sequence[Case],
    setting: Setting,
    folder: Path,
    shared: Shared,
    tell: Callable[[str], None],
) -> tuple[dict[str, Any], list[str]]:
    """What was found of one system, and what of it failed."""
    tell(f"{folder.name}: synthesising {len(cases)} cases")
    failed = costs.in_child(setting.prepare, _synthesise, run, cases, setting, folder)
    if len(failed) == len(cases):
        raise UserError(f"no case could be synthesised; the first: {failed[0][1]}")
    tell(f"{folder.name}: judging")
    summary = evaluation(folder, shared)
    model = load(run)
    parts = [part.config for part, _ in model.parts(setting.want)]
    trained_on = {case for part in parts for case in part.cases}
    found = {
        "recipe": parts[0].recipe.name,
        "runs": len(parts),
        "sample": scoreboard.sample(parts[0].recipe),
        "leaks": of_same_subjects([case.id for case in cases], trained_on),
        "summary": summary,
        "cost": {
            **costs.parameters(model, setting.want),
            **costs.training(run, model, setting.want),
            **costs.measured(folder / costs.COST),
        },
    }
    told = [f"{case}: {reason}" for case, reason in failed]
    unmade = {case for case, _ in failed}  # and therefore not judged, which need not be told too
    return found, told + [
        f"{f['case']}, {f['contrast']}: {f['reason']}" for f in summary["failures"] if f["case"] not in unmade
    ]


def _synthesise(run: Path, cases: Sequence[Case], setting: Setting, folder: Path) -> list[tuple[str, str]]:
    """In a process of its own. Returns which cases failed, and why; costs are noted case by case, so that those of a
    process that is stopped count."""
    model = load(run, setting.device)
    last = time.perf_counter()

    def count(result: Done | tuple[str, UserError]) -> None:
        nonlocal last
        now = time.perf_counter()
        if isinstance(result, Done) and result.made:
            took = {"seconds": now - last, "volumes": len(result.made)}
            costs.note(folder / costs.COST, "synthesis", setting.device, took)
        last = now

    _, failed = run_cohort(cases, model, folder / "synthetic", setting.want, notify=count)
    return [(case, str(error)) for case, error in failed]


def _classifier(setting: Setting, folder: Path) -> tuple[classifier.Classifier, dict[str, Any]]:
    """The classifier, and which cases it was trained on."""
    role, cases = apart(setting)
    contrasts = tuple(dict.fromkeys((*setting.have, *setting.want)))
    judge = classifier.opened(folder, cases, contrasts)
    return judge, {"classifier": {"role": role, "cases": len(cases), "contrasts": list(contrasts)}}


def _given(case: Case, have: Sequence[str]) -> Case:
    """The case with nothing but what is given: no system can look at the answer, and none takes another source."""
    return replace(case, contrasts={name: path for name, path in case.contrasts.items() if name in have})


def _facts(systems: Mapping[str, Recipe | Path], setting: Setting, cases: int) -> dict[str, Any]:
    return {
        "polycontrast": __version__,
        "machine": costs.machine(setting.device),
        "device": str(setting.device),
        "have": list(setting.have),
        "want": list(setting.want),
        "role": setting.role,
        "cases": cases,
        "images": setting.images,
        "given_runs": [name for name, system in systems.items() if isinstance(system, Path)],
    }
