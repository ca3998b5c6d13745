"""run_case: a case's files in, synthetic volumes with sidecars and a mosaic out. Safe to run twice, safe to kill."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import polycontrast
from polycontrast import pictures
from polycontrast.contrasts import slug
from polycontrast.data import grid, intensity
from polycontrast.errors import UserError
from polycontrast.infer.flags import flags
from polycontrast.infer.sets import Model
from polycontrast.infer.synthesizer import Synthesizer
from polycontrast.io import formats, nifti
from polycontrast.io.files import read_json, sha256, write_json
from polycontrast.io.layout import Case
from polycontrast.io.volume import Volume


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
    """Synthesise one case into `out/<case>/`: a NIfTI, a sidecar JSON per contrast, and one mosaic.

    A contrast whose file and sidecar are there, made by this model from these inputs, is skipped; one made otherwise is
    a UserError unless `overwrite`. Same input, same machine, same bytes.
    """
    wanted = model.check(case.contrasts, want)
    folder = out / case.id
    origins = {name: _origin(part, case, wanted) for part, names in model.parts(wanted) for name in names}
    todo = tuple(name for name in wanted if overwrite or not _is_done(folder, case.id, name, origins[name]))
    skipped = tuple(name for name in wanted if name not in todo)
    if not todo:
        return Done(case.id, folder, (), skipped, ())
    read: dict[str, Volume] = {}
    made: dict[str, Volume] = {}
    facts: dict[str, dict[str, Any]] = {}
    for part, names in model.parts(todo):
        sources = part.sources(case.contrasts, wanted)
        read |= {name: formats.read(case.contrasts[name]) for name in sources if name not in read}
        given = {name: read[name] for name in sources}
        made |= part(given, names)
        facts |= dict.fromkeys(names, _facts(part, given, names))
    found = tuple(text for volume in read.values() for text in flags(volume))
    if any(case.id in part.config.cases for part, _ in model.parts(todo)):
        found += ("the model was trained on this case: its figures say nothing about new patients",)
    _mosaic(folder / f"{case.id}_synth.png", case.id, read, {name: made[name] for name in todo})
    for name in todo:
        file, volume = volume_file(folder, case.id, name), made[name]
        sidecar = sidecar_file(file)
        if sidecar.exists():
            sidecar.unlink()  # a kill between the two writes must not leave a sidecar of another volume
        nifti.write(file, volume.array, volume.geometry, description=volume.description)
        told = {"synthetic": True, "contrast": name, **origins[name], **facts[name], "flags": list(found)}
        write_json(sidecar, told)
    return Done(case.id, folder, todo, skipped, found)


def _origin(part: Synthesizer, case: Case, want: Sequence[str]) -> dict[str, Any]:
    """What decides a volume: the model and its inputs."""
    inputs = {name: case.contrasts[name] for name in part.sources(case.contrasts, want)}
    return {
        "model": {"name": part.name, "recipe": part.config.recipe.name, "sha256": part.sha256},
        "inputs": {name: {"file": path.name, "sha256": sha256(path)} for name, path in inputs.items()},
    }


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
            done.append(job())
            notify(done[-1])
        except Exception as error:  # whatever it is, the other cases go on and the reason is told
            told = error if isinstance(error, UserError) else UserError(f"{type(error).__name__}: {error}")
            failed.append((name, told))
            notify(failed[-1])
    return done, failed


def volume_file(folder: Path, case: str, contrast: str) -> Path:
    """Where a case's synthetic contrast is written."""
    return folder / f"{case}_{slug(contrast)}_synth.nii.gz"


def sidecar_file(volume: Path) -> Path:
    """The JSON beside a synthetic volume."""
    return volume.with_name(volume.name.replace(".nii.gz", ".json"))


def _is_done(folder: Path, case: str, contrast: str, origin: dict[str, Any]) -> bool:
    file = volume_file(folder, case, contrast)
    return is_made(file, sidecar_file(file), origin)


def is_made(file: Path, sidecar: Path, origin: dict[str, Any]) -> bool:
    """Whether a synthetic image is there, made as its origin says; a UserError if it was made otherwise."""
    if not (file.exists() and sidecar.exists()):
        return False
    told = read_json(sidecar)
    if not isinstance(told, dict) or any(told.get(key) != origin[key] for key in origin):
        raise UserError(
            "made by another model or from other inputs",
            hint="--overwrite replaces it, or choose another -o",
            path=file,
        )
    return True


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
        "seed": synthesizer.config.recipe.train.seed,
        "notice": "research only, not a medical device; enhancement cannot be known from images without contrast agent",
    }


def _mosaic(path: Path, case: str, volumes: dict[str, Volume], made: dict[str, Volume]) -> None:
    brain = intensity.brain_mask([v.array for v in volumes.values()])
    affine = next(iter(volumes.values())).geometry.affine
    panels = {name: intensity.fit(v.array, brain).apply(v.array, brain) for name, v in volumes.items()}
    panels |= {f"{name} synthetic": volume.array for name, volume in made.items()}
    pictures.mosaic(
        path,
        {label: grid.to_canonical(array, affine) for label, array in panels.items()},
        spacing=grid.canonical_spacing(affine),
        center=pictures.center(grid.to_canonical(brain, affine)),
        title=case,
        synthetic=[label for label in panels if label.endswith("synthetic")],
    )
