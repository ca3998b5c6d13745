"""run_case: a case's files in, synthetic volumes with sidecars and a mosaic out. Safe to run twice, safe to kill.

<case>_t1_synth.nii.gz        the image
<case>_t1_confidence.nii.gz   how far from it the real value lies, if the model tells
<case>_t1_synth.json          the sidecar, written last: where it is, the others are whole and belong to it
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial, reduce
from pathlib import Path
from typing import Any

import numpy as np

import polycontrast
from polycontrast import pictures
from polycontrast.contrasts import slug
from polycontrast.data import grid, intensity
from polycontrast.data.split import of_same_subjects
from polycontrast.errors import CaseFault, UserError, in_words
from polycontrast.infer.flags import case_flags
from polycontrast.infer.options import Synthetic
from polycontrast.infer.sets import Model
from polycontrast.infer.synthesizer import INTERVAL, Synthesizer
from polycontrast.io import formats, nifti
from polycontrast.io.checks import check_same_grid
from polycontrast.io.files import check_name, read_json, write_json
from polycontrast.io.layout import Case
from polycontrast.io.volume import Volume

_REPLACE = "--overwrite replaces it, or choose another -o"


@dataclass(frozen=True)
class Done:
    """What became of a case: its folder, the contrasts made now and those that were there already, and its flags."""

    case: str
    folder: Path
    made: tuple[str, ...]
    skipped: tuple[str, ...]
    flags: tuple[str, ...]


def run_case(
    case: Case, model: Model, out: Path, want: Sequence[str] | None = None, *, overwrite: bool = False
) -> Done:
    """Synthesise one case into `out/<case>/`: per contrast a NIfTI, a confidence map if the model tells one, and a
    sidecar JSON; and one mosaic.

    A contrast whose files are there, made by this model with these options from these inputs, is skipped; one made
    otherwise, or not by us, is a UserError unless `overwrite`. Same input, same machine, same bytes.
    """
    wanted = model.check(case.contrasts, want)
    folder = out / case.id
    files = {name: volume_file(folder, case.id, name) for name in wanted}
    origins: dict[str, dict[str, Any]] = {}
    for part, names in model.parts(wanted):
        origins |= _origins(part, case, wanted, {name: files[name] for name in names})
    todo = tuple(name for name in wanted if overwrite or not _is_done(files[name], origins[name]))
    skipped = tuple(name for name in wanted if name not in todo)
    if not todo:
        return Done(case.id, folder, (), skipped, ())
    parts = [(part, names, part.sources(case.contrasts, wanted)) for part, names in model.parts(todo)]
    usual = {name: ranges for part, _, _ in parts for name, ranges in part.config.typical.items()}
    made: dict[str, Synthetic] = {}
    facts: dict[str, dict[str, Any]] = {}
    with ThreadPoolExecutor(max(2, os.cpu_count() or 2)) as pool:  # what is not the network takes half as long as it
        stored = {name: formats.read(case.contrasts[name]) for _, _, sources in parts for name in sources}
        check_same_grid(stored)
        read = {name: intensity.zero_background(volume) for name, volume in stored.items()}
        flags, real = pool.submit(case_flags, stored, usual), pool.submit(_panels, read)
        for part, names, sources in parts:
            given = {name: read[name] for name in sources}
            told = pool.submit(_facts, part, given, names)
            made |= part(given, names)
            facts |= dict.fromkeys(names, told.result())
        found = tuple(flags.result())
        shown = {name: made[name] if name in made else _made_before(files[name]) for name in wanted}
        picture = folder / f"{case.id}_synth.png"
        jobs = [pool.submit(_mosaic, picture, case.id, real.result(), shown)]  # the longest first
        jobs += [pool.submit(_write, files[name], made[name]) for name in todo]
        for job in jobs:
            job.result()
    if any(of_same_subjects([case.id], part.config.cases) for part, _, _ in parts):
        found += ("the model was trained on this patient: its figures say nothing about new ones",)
    for name in todo:
        sidecar = {"synthetic": True, "contrast": name, **origins[name], **facts[name], "flags": list(found)}
        write_json(sidecar_file(files[name]), sidecar)
    return Done(case.id, folder, todo, skipped, found)


def _origins(
    part: Synthesizer, case: Case, want: Sequence[str], files: Mapping[str, Path]
) -> dict[str, dict[str, Any]]:
    """What decides the volumes of these files: the model, with the options that are on, its inputs, and how it measures
    its confidence. UserError if one of these has a name that no sidecar can hold."""
    inputs = {name: case.contrasts[name] for name in part.sources(case.contrasts, want)}
    for path in inputs.values():
        check_name(path.name, path)
    for told in (case.id, part.name):
        check_name(told)
    origin = {
        "model": {
            "name": part.name, "recipe": part.config.recipe.name, "sha256": part.sha256,
            **dict.fromkeys(part.options.chosen, True),
        },
        "inputs": {name: {"file": path.name, "sha256": formats.sha256(path)} for name, path in inputs.items()},
    }  # fmt: skip
    return {name: {**origin, "confidence": _confidence(part, tuple(inputs), name, files[name])} for name in files}


def _confidence(part: Synthesizer, have: Sequence[str], name: str, file: Path) -> dict[str, Any] | None:
    """What a sidecar says of the map beside a volume: by what to multiply it for intervals of other levels."""
    if not (levels := part.levels(have, name)):
        return None
    return {
        "file": confidence_file(file).name,
        "means": f"half the width of the {INTERVAL} % interval, in normalised units"
        + f" (measured without {' and '.join(part.options.chosen)})" * bool(part.options.chosen),
        "levels": {level: round(factor / levels[INTERVAL], 4) for level, factor in levels.items()},
    }


def _write(file: Path, image: Synthetic) -> None:
    """A volume, and its confidence map if there is one; the sidecar of what was there goes."""
    beside = confidence_file(file)
    for old in (sidecar_file(file), beside):
        if old.exists():
            old.unlink()  # a kill between the writes must not leave another volume's sidecar or map beside this one
    nifti.write(file, image.array, image.geometry, description=image.description)
    if (width := image.confidence) is not None:
        nifti.write(beside, width.array, width.geometry, description=width.description)


def _made_before(file: Path) -> Synthetic:
    """A volume that was skipped, with its confidence map if it has one."""
    image, beside = formats.read(file), confidence_file(file)
    return Synthetic(image.array, image.geometry, confidence=formats.read(beside) if beside.exists() else None)


def run_cohort(
    cases: Sequence[Case],
    model: Model,
    out: Path,
    want: Sequence[str] | None = None,
    *,
    overwrite: bool = False,
    notify: Callable[[Done | tuple[str, UserError]], None] = lambda _: None,
) -> tuple[list[Done], list[tuple[str, UserError]]]:
    """`run_case` for each case; one that fails is told in words and the rest goes on."""
    jobs = ((case.id, partial(run_case, case, model, out, want, overwrite=overwrite)) for case in cases)
    return run_each(jobs, notify)


def run_each(
    jobs: Iterable[tuple[str, Callable[[], Done]]], notify: Callable[[Done | tuple[str, UserError]], None]
) -> tuple[list[Done], list[tuple[str, UserError]]]:
    """Run named jobs one after the other: what was done, and which failed, and why."""
    done: list[Done] = []
    failed: list[tuple[str, UserError]] = []
    for name, job in jobs:
        try:
            check_name(name)  # it names the files that are written
            done.append(job())
        except Exception as error:  # whatever it is, the other cases go on and the reason is told
            failed.append((name, _told(error)))
            notify(failed[-1])
        else:
            notify(done[-1])
    return done, failed


def _told(error: Exception) -> UserError:
    """In words: the user's, or a fault of ours."""
    if isinstance(error, UserError | PermissionError):
        return in_words(error)
    told = CaseFault(f"{type(error).__name__}: {error}")
    told.__cause__ = error
    return told


def volume_file(folder: Path, case: str, contrast: str) -> Path:
    """Where a case's synthetic contrast is written."""
    return folder / f"{case}_{slug(contrast)}_synth.nii.gz"


def sidecar_file(volume: Path) -> Path:
    """The JSON beside a synthetic volume."""
    return volume.with_name(volume.name.replace(".nii.gz", ".json"))


def confidence_file(volume: Path) -> Path:
    """The confidence map beside a synthetic volume."""
    return volume.with_name(volume.name.replace("_synth.nii.gz", "_confidence.nii.gz"))


def _is_done(file: Path, origin: dict[str, Any]) -> bool:
    beside = confidence_file(file)
    if is_made(file, sidecar_file(file), origin) and (origin["confidence"] is None or beside.exists()):
        return True
    for old in (file, beside):  # both are about to be replaced
        _check_ours(old)
    return False


def is_made(file: Path, sidecar: Path, origin: dict[str, Any]) -> bool:
    """Whether a synthetic image is there, made as its origin says; a UserError if made otherwise, or not by us."""
    if not sidecar.exists():  # as a kill between the two writes leaves an image
        _check_ours(file)
        return False
    told = read_json(sidecar)
    if not isinstance(told, dict) or any(told.get(key) != origin[key] for key in origin):
        raise UserError(
            "made by another model or from other inputs, or with other options",
            hint=_REPLACE,
            path=file if file.exists() else sidecar,
        )
    return file.exists()


def _check_ours(file: Path) -> None:
    """UserError if a file is there whose description does not say that we made it."""
    if file.exists() and not formats.is_ours(file):
        raise UserError("not made by polycontrast, or damaged", hint=_REPLACE, path=file)


def _facts(synthesizer: Synthesizer, volumes: dict[str, Volume], made: Sequence[str]) -> dict[str, Any]:
    brain = intensity.brain_mask([v.array for v in volumes.values()])
    return {
        "polycontrast": polycontrast.__version__,
        "have": list(volumes),
        "want": list(made),
        "normalisation": {
            "units": "normalised: brain mean 0.5, SD 0.25, background 0",
            "system": synthesizer.data.units,
            "to_normalised": {name: list(synthesizer.config.units[name]) for name in made},
            "inputs": {name: asdict(intensity.fit(v.array, brain)) for name, v in volumes.items()},
        },
        "device": str(synthesizer.device),
        "precision": synthesizer.precision,
        "seed": synthesizer.config.recipe.train.seed,
        "notice": "research only, not a medical device; enhancement cannot be known from images without contrast agent",
    }


def _panels(volumes: dict[str, Volume]) -> dict[str, Volume]:
    """What is given, normalised, as the mosaic shows it."""
    brain = intensity.brain_mask([v.array for v in volumes.values()])
    return {n: v.with_array(intensity.fit(v.array, brain).apply(v.array, brain)) for n, v in volumes.items()}


def _mosaic(path: Path, case: str, given: dict[str, Volume], made: dict[str, Synthetic]) -> None:
    affine = next(iter(given.values())).geometry.affine
    panels = {name: volume.array for name, volume in given.items()}
    brain = reduce(np.logical_or, (array != 0 for array in panels.values()))
    for name, image in made.items():
        panels[f"{name} synthetic"] = image.array
        if image.confidence is not None:
            panels[f"{name} confidence"] = image.confidence.array
    pictures.mosaic(
        path,
        {label: grid.to_canonical(array, affine) for label, array in panels.items()},
        spacing=grid.canonical_spacing(affine),
        center=pictures.center(grid.to_canonical(brain, affine)),
        title=case,
        synthetic=[label for label in panels if label not in given],
    )
