"""A comparison by cross-validation (Dai et al. 2020): each case is judged once, by systems that never saw its patient.

    OUT/folds/fold_1.json ...   the split files, unless the setting names another folder
    OUT/fold_1 ...              a comparison of each fold, as workflows/compare.py writes it
    OUT/<system>/evaluation     the rows of all folds: cases.csv, summary.json and .md
    OUT/compare.csv, .json, .md as of one split, with statistics over the cases of all folds

It goes on where it was stopped, as that does.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

from polycontrast.data.split import fold_file, make_folds
from polycontrast.errors import UserError
from polycontrast.io.files import read_json, write_json
from polycontrast.io.layout import find_cases
from polycontrast.metrics import downstream, tables
from polycontrast.metrics.classifier import Shares
from polycontrast.metrics.controls import NOTE
from polycontrast.metrics.evaluate import summarised
from polycontrast.metrics.tables import SUMMARY, Failure
from polycontrast.recipes import Recipe
from polycontrast.workflows import scoreboard, significance
from polycontrast.workflows.compare import RECOGNISED, compare
from polycontrast.workflows.setting import Setting
from polycontrast.workflows.significance import EVALUATION

FOLDS, FOLD = "folds", "fold_{}"
ROLE = "test"


def compare_folds(
    systems: Mapping[str, Recipe | Path],
    setting: Setting,
    k: int,
    out: Path,
    *,
    cache: Path | None = None,
    tell: Callable[[str], None] = print,
) -> dict[str, Any]:
    """`compare` in each of k folds, and one table of all cases. setting.split: the folder of the split files.

    Returns what OUT/compare.json holds. Raises UserError for a run that is there already: it was trained on cases that
    some fold judges.
    """
    _check(systems, setting)
    files = split_files(setting.data, setting.split, k)
    results = [
        compare(
            systems, replace(setting, split=file, segmenter=_segmenter(setting, number)), out / FOLD.format(number),
            cache=cache, tell=partial(_tell, tell, number),
        )
        for number, file in enumerate(files, start=1)
    ]  # fmt: skip
    return joined(out, results, setting.against or next(iter(systems)))


def _segmenter(setting: Setting, number: int) -> Path | None:
    """Where a fold's segmenters are kept: each fold has judged what another learns from."""
    return setting.segmenter / FOLD.format(number) if setting.segmenter else None


def _tell(tell: Callable[[str], None], number: int, text: str) -> None:
    tell(f"fold {number}: {text}")


def _check(systems: Mapping[str, Recipe | Path], setting: Setting) -> None:
    if given := [name for name, system in systems.items() if isinstance(system, Path)]:
        hint = "give its recipe to --systems, or judge it with --split"
        raise UserError(f"{', '.join(given)}: a finished run has seen one split; folds train anew", hint)
    if taken := [name for name in systems if name.startswith("fold")]:
        raise UserError(f"a system cannot be called {taken[0]!r} here", hint="folders of folds are called so")
    if setting.role != ROLE:
        raise UserError(f"folds judge the role {ROLE}, not {setting.role!r}", hint="leave --role out")


def split_files(data: Path, folder: Path, k: int) -> list[Path]:
    """The files of k folds of this cohort (seed 0), made where they are absent. UserError if others are there."""
    files = []
    for number, fold in enumerate(make_folds(find_cases(data), k), start=1):
        file = fold_file(folder, number)
        if not file.exists():
            write_json(file, fold)
        elif read_json(file) != fold:
            hint = "the cases or the number of folds have changed: choose another output folder"
            raise UserError(f"not fold {number} of {k} of the cases in {data}", hint=hint, path=file)
        files.append(file)
    return files


def joined(out: Path, results: Sequence[Mapping[str, Any]], against: str) -> dict[str, Any]:
    """Join the comparisons of all folds, whose results are given in order, and write OUT/compare.*."""
    names = dict.fromkeys(name for result in results for name in result["cost"])
    found = {name: _found(out, name, results) for name in names}
    failures = {
        name: [f"fold {number}: {reason}" for number, result in enumerate(results, start=1)
               for reason in result["failures"].get(name, ())]
        for name in dict.fromkeys(name for result in results for name in result["failures"])
    }  # fmt: skip
    trained = sorted({result["classifier"]["cases"] for result in results})
    facts = dict(results[0]) | {  # what is not a fact among them is found anew
        "cases": sum(result["cases"] for result in results),
        "classifier": results[0]["classifier"] | {"cases": _span(trained)},
        "folds": [result["cases"] for result in results],
    }
    whole = scoreboard.summarised(found, _shares(out, len(results)), facts, failures)
    whole["significance"] = significance.among(out, found, against)
    scoreboard.write(out, whole)
    return whole


def _found(out: Path, name: str, results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What scoreboard.Found has of a system, from the folds that it finished in."""
    finished = [(number, result) for number, result in enumerate(results, start=1) if name in result["cost"]]
    costs = [result["cost"][name] for _, result in finished]
    folders = [out / FOLD.format(number) / name / EVALUATION for number, _ in finished]
    return {
        **{key: costs[0][key] for key in ("recipe", "runs", "sample")},
        "leaks": [case for _, result in finished for case in result["leaks"].get(name, ())],
        "summary": _evaluation(folders, out / name / EVALUATION),
        "cost": _cost(costs),
    }


def _evaluation(folders: Sequence[Path], out: Path) -> dict[str, Any]:
    """The evaluations of several folds as one of all their cases, written to `out`."""
    summaries = [read_json(folder / SUMMARY) for folder in folders]
    rows = [row for folder in folders for row in tables.read(folder)]
    failures = [Failure(**failure) for summary in summaries for failure in summary["failures"]]
    role, averaged, notes = (sorted({one["mean_image"][key] for one in summaries}) for key in ("role", "cases", "note"))
    facts = {
        **{key: summaries[0][key] for key in ("have", "want", "dropped", "role")},
        "cases": sum(summary["cases"] for summary in summaries),
        "judged": [case for summary in summaries for case in summary["judged"]],
        "mean_image": {"role": role[0], "cases": _span(averaged), "note": notes[0] if len(notes) == 1 else NOTE},
    }
    segmented = all("downstream" in one for one in summaries)
    outcomes = [one for folder in folders for one in downstream.read(folder)] if segmented else None
    write_json(out / SUMMARY, summarised(out, rows, failures, facts, outcomes))
    return cast(dict[str, Any], read_json(out / SUMMARY))


def _span(counts: Sequence[int]) -> int | str:
    """Of ascending counts, one to a fold: 8, or "8 to 9"."""
    return counts[0] if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"


def _cost(costs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Speeds are means over folds, peaks of memory the largest; all else is alike."""
    whole = dict(costs[0])
    for key in whole:
        known = [cost[key] for cost in costs if cost[key] is not None]
        if key in ("images_per_second", "seconds_per_volume") and known:
            whole[key] = sum(known) / len(known)
        elif key.endswith("memory_gb") and known:
            whole[key] = max(known)
    return whole


def _shares(out: Path, k: int) -> Shares:
    """The classifier's shares of all folds."""
    shares: Shares = {}
    for number in range(1, k + 1):
        for name, by_contrast in read_json(out / FOLD.format(number) / RECOGNISED).items():
            for contrast, found in by_contrast.items():
                shares.setdefault(name, {}).setdefault(contrast, {}).update(found)
    return shares
