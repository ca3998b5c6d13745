"""polycontrast synth: from a case, a folder, a CSV or single files to synthetic volumes."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from polycontrast.errors import UserError
    from polycontrast.infer.cohort import Done
    from polycontrast.io.layout import Case


def run(
    out: Annotated[
        Path,
        typer.Option(
            "-o",
            "--out",
            help="Where <case>/<case>_<contrast>_synth.nii.gz, or <photograph>_<want>_synth.png, are written.",
        ),
    ],
    model: Annotated[
        str,
        typer.Option(
            help="any2any, the model that comes with polycontrast; or the folder of a run, or of a set of runs."
        ),
    ] = "any2any",
    source: Annotated[
        Path | None,
        typer.Option(
            "-i", "--input", help="A case's folder, a folder of cases, or a CSV; or photographs, for a model of them."
        ),
    ] = None,
    t1: Annotated[Path | None, typer.Option(help="A single T1 file.")] = None,
    t1ce: Annotated[Path | None, typer.Option(help="A single T1ce file.")] = None,
    t2: Annotated[Path | None, typer.Option(help="A single T2 file.")] = None,
    flair: Annotated[Path | None, typer.Option(help="A single FLAIR file.")] = None,
    case: Annotated[str | None, typer.Option(help="What to call the case of single files.")] = None,
    have: Annotated[
        str | None,
        typer.Option(
            help="Use only these of the contrasts that are there; for a model that needs just one: which one."
        ),
    ] = None,
    want: Annotated[
        str | None,
        typer.Option(
            help="Contrasts to make, as t1,t1ce,flair, none of which is then used as an input; by default all that "
            "the model makes of what is given. Of photographs the side or attributes, as Young,Smiling."
        ),
    ] = None,
    split: Annotated[Path | None, typer.Option(help="JSON of roles; only the cases of --role are taken.")] = None,
    role: Annotated[str | None, typer.Option(help="The role taken from --split; test by default.")] = None,
    shard: Annotated[str, typer.Option(help="i/N: only every N-th case, from the i-th (0-based).")] = "0/1",
    fast: Annotated[
        bool,
        typer.Option(
            "--fast",
            help="Leave out more slices, slabs 6 mm apart, and fill them in, guided by what is given: less time for "
            "slices of 1 mm, no gain for 3 mm.",
        ),
    ] = False,
    ensemble: Annotated[
        bool, typer.Option("--ensemble", help="The mean of two images, one made of the mirrored input; twice the time.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Make again what is there.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda[:N] or mps.")] = "auto",
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print nothing but errors and flags.")] = False,
) -> None:
    """Synthesise the wanted contrasts in the exact geometry of the input, with a sidecar and a picture beside them."""
    from polycontrast.cli.names import check_role, names
    from polycontrast.cli.tables import tell_unknown
    from polycontrast.device import choose, keep_memory
    from polycontrast.infer.cohort import run_cohort
    from polycontrast.infer.options import Options
    from polycontrast.infer.sets import load
    from polycontrast.io.files import check_folder

    keep_memory()
    named = {"T1": t1, "T1ce": t1ce, "T2": t2, "FLAIR": flair}
    files = {name: path for name, path in named.items() if path is not None}
    if _is_of_photographs(model):
        others = bool(files or case or split or role or fast or ensemble) or shard != "0/1"
        _photographs(model, source, out, have, want, overwrite, device, quiet, others)
        return
    check_role(role, split)
    unknown: list[Path] = []
    cases, flawed = _cases(source, files, case, split, role or "test", shard, unknown)
    if source is not None and not quiet:
        tell_unknown(source, unknown)
    loaded = load(model, choose(device), Options(fast, ensemble))
    chosen, wanted = names(have), names(want)
    used = chosen or loaded.have
    loaded.check(used, wanted)
    if chosen:
        cases = [replace(one, contrasts={c: f for c, f in one.contrasts.items() if c in used}) for one in cases]

    check_folder(out)
    number = len(cases) + len(flawed)
    several = number > 1 or shard != "0/1"
    notify = partial(_tell, quiet=quiet, several=several)
    for one in flawed:
        notify(one)
    _, failed = run_cohort(cases, loaded, out, wanted, overwrite=overwrite, notify=notify)
    name = "failures.csv" if shard == "0/1" else f"failures_{shard.replace('/', '_of_')}.csv"  # shards share a folder
    _conclude([*flawed, *failed], number, out / name, several)


def _is_of_photographs(model: str) -> bool:
    from polycontrast import runs
    from polycontrast.data.configs import PhotoConfig

    return not runs.members(model) and isinstance(runs.read_config(model).recipe.data, PhotoConfig)


def _photographs(
    model: str,
    source: Path | None,
    out: Path,
    have: str | None,
    want: str | None,
    overwrite: bool,
    device: str,
    quiet: bool,
    others: bool,
) -> None:
    """Synthesise photographs. others: whether options were given that only volumes know."""
    from polycontrast.cli.names import names
    from polycontrast.device import choose
    from polycontrast.errors import UserError
    from polycontrast.infer.photographs import PhotoSynthesizer, synthesize_photographs
    from polycontrast.runs import name_of

    if source is None or others:
        raise UserError(
            f"the model {name_of(model)} is one of photographs, which come by -i alone",
            hint="-i IMAGE or -i FOLDER; --case, --split, --role, --shard, --fast, --ensemble, single contrasts: for "
            "volumes",
        )
    loaded = PhotoSynthesizer.load(model, have, choose(device))
    wanted = names(want, photographs=True)
    notify = partial(_tell, quiet=quiet, several=source.is_dir())
    done, failed = synthesize_photographs(loaded, source, out, wanted, overwrite=overwrite, notify=notify)
    _conclude(failed, len(done) + len(failed), out / "failures.csv", several=source.is_dir())


def _tell(result: "Done | tuple[str, UserError]", quiet: bool, several: bool) -> None:
    if isinstance(result, tuple):
        if several:  # a single one's failure ends the command, and is told there
            typer.echo(f"{result[0]}: FAILED: {result[1]}", err=True)
        return
    flags = "".join(f" [{flag}]" for flag in result.flags)
    if quiet:
        if flags:
            typer.echo(f"{result.case}:{flags}", err=True)
        return
    what = f"made {', '.join(result.made)}" if result.made else "there already"
    if result.made or result.skipped:
        typer.echo(f"{result.case}: {what}: {result.folder}{flags}")
    else:
        what = "nothing made, for it has every contrast (--have or --want make some of the others)"
        typer.echo(f"{result.case}: {what}")


def _conclude(failed: "list[tuple[str, UserError]]", number: int, file: Path, several: bool) -> None:
    """End the command: well, with a single one's failure, or with a table of those that failed."""
    from polycontrast.cli.tables import write_failures
    from polycontrast.errors import EXIT_SOME_FAILED, CaseFault

    if failed and not several:
        error = failed[0][1]
        raise error.__cause__ if isinstance(error, CaseFault) and error.__cause__ else error
    if not several:  # whatever lies there is of another call
        return
    table = write_failures(file, [(case, str(error).replace("\n", " ")) for case, error in failed])
    if table is not None:
        typer.echo(f"{len(failed)} of {number} cases failed: {table}", err=True)
        raise typer.Exit(EXIT_SOME_FAILED)


def _cases(
    source: Path | None,
    files: dict[str, Path],
    case: str | None,
    split: Path | None,
    role: str,
    shard: str,
    unknown: list[Path],
) -> "tuple[list[Case], list[tuple[str, UserError]]]":
    """The cases, and those that cannot be used, with the reason; unknown: as of `find_cases`."""
    from polycontrast.errors import UserError
    from polycontrast.io import formats
    from polycontrast.workflows.cohort import cases_of

    if (source is None) == (not files):
        raise UserError("expected either -i or single files", hint="-i FOLDER, -i CSV, or --t2 FILE")
    if source is None:
        if split is not None or shard != "0/1":
            raise UserError("--split and --shard choose among many cases", hint="give them by -i, or leave these out")
        return [_single(files, case)], []
    if case is not None:
        raise UserError("--case names the case of single files", hint="leave it out: those of -i have names")
    if source.is_file() and formats.is_image(source):
        raise UserError("an image, where a folder or a CSV is expected", "say its contrast, as --t2 FILE", source)
    first, step = _shard(shard)
    reasons: dict[str, str] = {}
    cases = cases_of(source, split, role, reasons, unknown)
    hint = "mend it, or list the right files in a CSV"
    flawed = [(id, UserError(reason, hint, source)) for id, reason in reasons.items()]
    return cases[first::step], flawed[first::step]


def _single(files: dict[str, Path], case: str | None) -> "Case":
    """Files by contrast as one case, called as it is told, or as the first file tells."""
    from polycontrast.data.split import subject
    from polycontrast.errors import UserError
    from polycontrast.io.layout import Case, check_id

    paths = list(files.values())
    if len(set(paths)) < len(paths):
        raise UserError("one file for two contrasts", hint="give each contrast its own", path=paths[0])
    ids = [_id_of(path) for path in paths]
    patients = {id for id, sure in ids if sure}
    if case is None and len(set(map(subject, patients))) > 1:
        found = f"files of several patients: {', '.join(sorted(patients))}"
        raise UserError(found, hint="give one patient's, or all by -i; if they are one's, call the case: --case NAME")
    id, where = (ids[0][0], "") if case is None else (case, "--case ")
    check_id(id, where, paths[0])
    return Case(id, files, None, "files", "brats")


def _id_of(path: Path) -> tuple[str, bool]:
    """The case that a path tells by a convention, else by its own name; and whether it is a patient's in a dataset, not
    what anyone may call a file or a folder."""
    from polycontrast.io import formats
    from polycontrast.io.naming import FOLDER, match_name, whole

    match, row = match_name(path)
    # Where the user says what a file holds, a number at the end of its name is not an nnU-Net channel but a case's own.
    if match and row and row.name != "nnU-Net":
        id = match["case"]
        return id, row.name not in (FOLDER, "case_contrast") or id.startswith("TCGA-")
    name = whole(path).name
    return name[: -len(formats.extension(path))] if formats.is_image(path) else name, False


def _shard(text: str) -> tuple[int, int]:
    from polycontrast.errors import UserError

    first, _, step = text.partition("/")
    if not (first.isdecimal() and step.isdecimal() and int(first) < int(step)):
        raise UserError(f"--shard {text!r} is not i/N with i < N", hint="--shard 0/4 to 3/4 make four shares")
    return int(first), int(step)
