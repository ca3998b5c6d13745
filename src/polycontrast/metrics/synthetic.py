"""The synthetic volumes below a folder, `<case>_<contrast>_synth.nii.gz`: where they lie, what they were made of."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from polycontrast.contrasts import canonical_set, find, slug
from polycontrast.errors import UserError
from polycontrast.io.files import read_json
from polycontrast.io.layout import images_below

SUFFIX, SIDECAR = "_synth.nii.gz", "_synth.json"
Files = Mapping[tuple[str, str], Sequence[Path]]  # volumes by case and contrast


def synthetic_files(folder: Path) -> Files:
    """Every synthetic volume below the folder, by case and contrast; a UserError if there is none."""
    files: dict[tuple[str, str], list[Path]] = {}
    for path in images_below(folder):
        case, _, spelt = path.name.removesuffix(SUFFIX).rpartition("_")
        if path.name.endswith(SUFFIX) and (contrast := find(spelt)):
            files.setdefault((case, contrast), []).append(path)
    if not files:
        hint = "run `polycontrast synth` first, with --have where cases have every contrast"
        raise UserError(f"no file named <case>_<contrast>{SUFFIX}", hint, folder)
    return files


def contrasts_in(files: Files) -> tuple[str, ...]:
    """The contrasts of the volumes, sorted."""
    return tuple(sorted({contrast for _, contrast in files}))


def _inputs(files: Files, want: Sequence[str]) -> dict[tuple[str, ...], Path]:
    """What the wanted volumes were made of, by the sidecars beside them, each with one that says so."""
    told: dict[tuple[str, ...], Path] = {}
    for path in (path for (_, contrast), paths in files.items() if contrast in want for path in paths):
        sidecar = path.with_name(path.name.removesuffix(SUFFIX) + SIDECAR)
        content = read_json(sidecar) if sidecar.exists() else None
        if isinstance(content, dict) and isinstance(content.get("inputs"), dict):
            told.setdefault(canonical_set(content["inputs"]), sidecar)
    return told


def given_to(files: Files, have: Sequence[str] | None, want: Sequence[str]) -> tuple[str, ...]:
    """What the wanted volumes were made from: as asked for, else as their sidecars say, else T2. UserError if that is
    nothing, or not what the sidecars say, or also wanted."""
    told = _inputs(files, want)
    if have is None and len(told) > 1:
        (one, first), (other, second) = list(told.items())[:2]
        found = f"{first.name} says {', '.join(one)}, {second.name} {', '.join(other)}"
        raise UserError(f"what were they made from? {found}", hint="say it with --have", path=second)
    given = next(iter(told), ("T2",)) if have is None else canonical_set(have)
    if not given:
        raise UserError("no given contrast is named", hint="name what the system was given, such as t2")
    for inputs, sidecar in told.items():
        if not set(inputs) <= set(given):
            found = f"made from {', '.join(inputs)}, and --have says {', '.join(given)}"
            raise UserError(found, hint="leave --have out, or judge another folder", path=sidecar)
    if both := [contrast for contrast in want if contrast in given]:
        found = f"both given and judged: {', '.join(both)}"
        raise UserError(found, hint="say with --have what the system was given, with --want what is judged")
    return given


def finder(files: Files, folder: Path) -> Callable[[str, str], Path]:
    """(case, contrast) -> the one volume of it in the folder; it raises UserError if that is none, or several."""

    def find_volume(case_id: str, contrast: str) -> Path:
        name, found = f"{case_id}_{slug(contrast)}{SUFFIX}", files.get((case_id, contrast), [])
        if len(found) != 1:
            what = "no prediction" if not found else f"{len(found)} predictions"
            hint = "keep one of them" if found else "run `polycontrast synth` again"
            raise UserError(f"{what}: {name} is expected once", hint=hint, path=folder)
        return found[0]

    return find_volume
