"""polycontrast eval: how good synthetic volumes are, beside the controls."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from polycontrast.io.layout import Case
    from polycontrast.metrics.downstream import Segmenters


def run(
    data: Annotated[Path, typer.Option(help="Folder or CSV of the real cases.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Where report, tables and pictures are written.")],
    synthetic: Annotated[Path | None, typer.Option("-i", "--input", help="Folder that holds *_synth.nii.gz.")] = None,
    want: Annotated[str | None, typer.Option(help="Contrasts judged; those found by default.")] = None,
    have: Annotated[str, typer.Option(help="What the system was given; the first is the control 'copy'.")] = "t2",
    split: Annotated[Path | None, typer.Option(help="JSON of roles; without it every case is judged.")] = None,
    role: Annotated[str, typer.Option(help="The role that is judged.")] = "test",
    fit_role: Annotated[
        str, typer.Option(help="The role that the mean image and NIQE's model of MR slices are made of.")
    ] = "gan",
    protocol: Annotated[
        str | None,
        typer.Option(help="brasyn, dai2020, slice-max, with commas: beside polycontrast. By default brasyn."),
    ] = None,
    downstream: Annotated[bool, typer.Option("--downstream", help="Judge by segmentation too (needs MONAI).")] = False,
    segmenter: Annotated[
        Path | None, typer.Option(help="Folder of its segmenters; trained if it is empty. OUT/segmenter by default.")
    ] = None,
    train_role: Annotated[str, typer.Option(help="The role that they are trained on.")] = "train",
    drop: Annotated[
        str | None,
        typer.Option(help="official: BraSyn's drop list, one contrast a case. Without -i the cases are handed out."),
    ] = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print no progress.")] = False,
) -> None:
    """Every measure per volume and region, by protocols of a name, with controls, intervals, tests and a report."""
    from polycontrast.cli.command import command
    from polycontrast.cli.names import names
    from polycontrast.contrasts import DEFAULT
    from polycontrast.errors import EXIT_SOME_FAILED
    from polycontrast.metrics.evaluate import JUDGED, evaluate

    tell: Callable[[str], None] = (lambda _: None) if quiet else (lambda text: typer.echo(text, err=True))
    _check(synthetic, drop, downstream, segmenter)
    cases = _cases(data, split, role) if drop else []
    drops = _drops(cases)
    if synthetic is None:
        _hand_out(cases, drops, out)
        return
    given, asked = names(have) or (), [] if protocol is None else [name.strip() for name in protocol.split(",")]
    folder = segmenter or out / "segmenter"
    segmenters = _segmenters(folder, data, split, train_role, given, tell) if downstream else None
    result = evaluate(
        synthetic, data, out, want=names(want), split=split, role=role, have=DEFAULT if drop else given,
        fit_role=fit_role, protocols=("polycontrast", *asked) if asked else JUDGED, drops=drops or None,
        segmenters=segmenters, command=command(), notify=lambda case: tell(f"judging {case}"),
    )  # fmt: skip
    if drop:
        _submit(cases, drops, synthetic, out)
    typer.echo((out / "summary.md").read_text(encoding="utf-8"))
    typer.echo(f"the report: {out / 'report.html'}; tables and pictures beside it")
    if result.failures:
        typer.echo(f"{len(result.failures)} could not be judged: {out / 'failures.csv'}", err=True)
        raise typer.Exit(EXIT_SOME_FAILED)


def _check(synthetic: Path | None, drop: str | None, downstream: bool, segmenter: Path | None) -> None:
    """UserError for options that do not go together."""
    from polycontrast.errors import UserError

    if drop not in (None, "official"):
        raise UserError(f"no drop list is called {drop!r}", hint="--drop official is BraSyn's")
    if drop and downstream:
        raise UserError("--drop takes another contrast of every case, --downstream all of them", hint="choose one")
    if synthetic is None and not drop:
        raise UserError("there is nothing to judge", hint="name the folder of synthetic volumes with -i")
    if segmenter is not None and not downstream:
        raise UserError("--segmenter is of use with --downstream alone", hint="add --downstream, or leave it out")


def _cases(data: Path, split: Path | None, role: str) -> "list[Case]":
    from polycontrast.workflows.cohort import cases_of

    return cases_of(data, split, role)


def _drops(cases: "list[Case]") -> dict[str, str]:
    from polycontrast.metrics.brasyn import official_drops

    return official_drops(case.id for case in cases)


def _hand_out(cases: "list[Case]", drops: dict[str, str], out: Path) -> None:
    from polycontrast.metrics.brasyn import pseudo_validation

    folder = out / "pseudo_validation"
    pseudo_validation(cases, drops, folder)
    typer.echo(f"{len(cases)} cases, each without one contrast: {folder}\nsynthesise what lacks, and judge it with -i")


def _submit(cases: "list[Case]", drops: dict[str, str], synthetic: Path, out: Path) -> None:
    from polycontrast.metrics.brasyn import submission
    from polycontrast.metrics.evaluate import finder

    missing = submission(cases, drops, finder(synthetic), out / "submission")
    typer.echo(f"{len(cases) - len(missing)} volumes to submit: {out / 'submission'}")


def _segmenters(
    folder: Path, data: Path, split: Path | None, role: str, have: tuple[str, ...], tell: Callable[[str], None]
) -> "Segmenters":
    """Those in the folder, or new ones trained on the cases of this role."""
    from polycontrast.contrasts import DEFAULT
    from polycontrast.errors import UserError
    from polycontrast.metrics.downstream import open_segmenters
    from polycontrast.workflows.cohort import cases_of

    if split is None:
        hint = f"name cases with the role {role} in a split file, and give it with --split"
        raise UserError("--downstream trains a segmenter on cases that are not judged", hint)
    want = [contrast for contrast in DEFAULT if contrast not in have]
    return open_segmenters(folder, cases_of(data, split, role), have, want, tell)
