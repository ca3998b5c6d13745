"""polycontrast eval: how good synthetic volumes are, beside the controls."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from polycontrast.metrics.downstream import Segmenters
    from polycontrast.metrics.evaluate import Evaluation
    from polycontrast.workflows.brasyn import Drawn

ROLE, TRAIN_ROLE = "test", "train"  # where nothing else is asked for
NEEDS = (  # an option, and that without which it would do nothing
    ("--segmenter", "--downstream"), ("--train-role", "--downstream"), ("--role", "--split"), ("--fit-role", "--split"),
    ("--fit-role", "-i"), ("--protocol", "-i"),
)  # fmt: skip
ALL_OF_A_CASE = ("--have", "--want", "--downstream")  # what says something of every contrast, of which --drop takes one


def run(
    data: Annotated[Path, typer.Option(help="Folder or CSV of the real cases.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Where report, tables and pictures are written.")],
    synthetic: Annotated[Path | None, typer.Option("-i", "--input", help="Folder that holds *_synth.nii.gz.")] = None,
    want: Annotated[str | None, typer.Option(help="Contrasts judged; those found by default.")] = None,
    have: Annotated[
        str | None,
        typer.Option(help="What the system was given: as sidecars say, else t2. The first is the control 'copy'."),
    ] = None,
    split: Annotated[Path | None, typer.Option(help="JSON of roles; without it every case is judged.")] = None,
    role: Annotated[str | None, typer.Option(help="The role that is judged; test by default.")] = None,
    fit_role: Annotated[
        str | None,
        typer.Option(help="The role that the mean image and NIQE's model of MR slices are made of; gan by default."),
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(help="brasyn, dai2020, slice-max, with commas: beside polycontrast. By default brasyn."),
    ] = None,
    downstream: Annotated[bool, typer.Option("--downstream", help="Judge by segmentation too (needs MONAI).")] = False,
    segmenter: Annotated[
        Path | None, typer.Option(help="Folder of its segmenters; trained if it is empty. OUT/segmenter by default.")
    ] = None,
    train_role: Annotated[str | None, typer.Option(help="The role that they are trained on; train by default.")] = None,
    drop: Annotated[
        str | None,
        typer.Option(help="official: BraSyn's drop list, one contrast a case. Without -i the cases are handed out."),
    ] = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print no progress.")] = False,
) -> None:
    """Every measure per volume and region, by protocols of a name, with controls, intervals, tests and a report."""
    from polycontrast.cli.command import command
    from polycontrast.cli.names import names
    from polycontrast.metrics.evaluate import FIT_ROLE, JUDGED, evaluate
    from polycontrast.metrics.measures import require_packages
    from polycontrast.workflows.brasyn import draw
    from polycontrast.workflows.cohort import check_apart

    _check({
        "-i": synthetic, "--want": want, "--have": have, "--split": split, "--role": role, "--fit-role": fit_role,
        "--protocol": protocol, "--downstream": downstream, "--segmenter": segmenter, "--train-role": train_role,
        "--drop": drop,
    })  # fmt: skip
    require_packages(downstream=downstream)
    tell: Callable[[str], None] = (lambda _: None) if quiet else (lambda text: typer.echo(text, err=True))
    role, fit_role, given, wanted = role or ROLE, fit_role or FIT_ROLE, names(have), names(want)
    drawn = draw(data, split, role) if drop else None
    if synthetic is None:
        assert drawn is not None  # or `_check` would have ended it
        _hand_out(drawn, out)
        return
    if split is not None:
        check_apart(role, fit_role, "the mean image is made of", "name another with --fit-role")
    segmenters = None
    if downstream:
        folder = segmenter or out / "segmenter"
        segmenters = _segmenters(folder, synthetic, data, split, role, train_role or TRAIN_ROLE, given, wanted, tell)
    asked = [name.strip() for name in protocol.split(",")] if protocol else []
    result = evaluate(
        synthetic, data, out, want=drawn.contrasts if drawn else wanted, split=split, role=role,
        have=given, fit_role=fit_role, protocols=("polycontrast", *asked) if asked else JUDGED,
        drops=drawn.drops if drawn else None, segmenters=segmenters, command=command(),
        notify=lambda case: tell(f"judging {case}"),
    )  # fmt: skip
    if drawn is not None:
        _submit(drawn, synthetic, out)
    _end(result, quiet)


def _end(result: "Evaluation", quiet: bool) -> None:
    """Print what comes before the first section of summary.md, its main table, and where the rest is."""
    from polycontrast.errors import EXIT_SOME_FAILED

    out = result.out
    if not quiet:
        typer.echo((out / "summary.md").read_text(encoding="utf-8").partition("\n## ")[0])
    typer.echo(f"the report: {out / 'report.html'}; tables and pictures beside it")
    if result.failures:
        typer.echo(f"{len(result.failures)} could not be judged: {out / 'failures.csv'}", err=True)
        raise typer.Exit(EXIT_SOME_FAILED)


def _check(given: Mapping[str, object]) -> None:
    """UserError for options that do not go together, or would do nothing. given: by name, as they came."""
    from polycontrast.errors import UserError

    there = {name for name, value in given.items() if value not in (None, False)}
    if given["--drop"] not in (None, "official"):
        raise UserError(f"no drop list is called {given['--drop']!r}", hint="--drop official is BraSyn's")
    if not there & {"-i", "--drop"}:
        raise UserError("there is nothing to judge", hint="name the folder of synthetic volumes with -i")
    for option in [option for option in ALL_OF_A_CASE if {option, "--drop"} <= there]:
        found = f"--drop gives all but one contrast of each case, another of each; {option} speaks of all cases"
        raise UserError(found, hint="choose one")
    for option, needed in NEEDS:
        if option in there and needed not in there:
            found = f"{option} is of use with {needed} alone"
            raise UserError(found, hint=f"add {needed}, or leave {option} out")


def _hand_out(drawn: "Drawn", out: Path) -> None:
    from polycontrast.errors import EXIT_SOME_FAILED
    from polycontrast.workflows.brasyn import hand_out

    folder = hand_out(drawn, out)
    typer.echo(f"{len(drawn.cases)} cases, each without one contrast: {folder}")
    typer.echo("synthesise what lacks, and judge it with -i")
    for case, reason in drawn.left_out.items():
        typer.echo(f"{case} is not handed out: {reason}", err=True)
    if drawn.left_out:
        raise typer.Exit(EXIT_SOME_FAILED)


def _submit(drawn: "Drawn", synthetic: Path, out: Path) -> None:
    from polycontrast.workflows.brasyn import submit

    folder, number = submit(drawn, synthetic, out)
    typer.echo(f"{number} volumes to submit: {folder}")


def _segmenters(
    folder: Path,
    synthetic: Path,
    data: Path,
    split: Path | None,
    judged: str,
    role: str,
    have: tuple[str, ...] | None,
    want: tuple[str, ...] | None,
    tell: Callable[[str], None],
) -> "Segmenters":
    """Those in the folder, or new ones trained on the cases of this role."""
    from polycontrast.errors import UserError
    from polycontrast.metrics.downstream import open_segmenters
    from polycontrast.metrics.synthetic import contrasts_in, given_to, synthetic_files
    from polycontrast.workflows.cohort import cases_of, check_apart

    if split is None:
        hint = f"name cases with the role {role} in a split file, and give it with --split"
        raise UserError("--downstream trains a segmenter on cases that are not judged", hint)
    check_apart(judged, role, "the segmenters are trained on", "name another with --train-role")
    files = synthetic_files(synthetic)
    contrasts = want or contrasts_in(files)
    given = given_to(files, have, contrasts)
    return open_segmenters(folder, cases_of(data, split, role), given, contrasts, tell)
