"""polycontrast compare: several systems under one protocol."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from polycontrast.recipes import Recipe

SIZES = {"small": ("{}_small",), "mr": ("{}_mr", "{}"), "paper": ("{}",)}  # which recipe a system's name stands for


def run(
    data: Annotated[Path, typer.Option(help="Folder or CSV of cases.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Where runs, volumes, tables and the picture are written.")],
    split: Annotated[Path | None, typer.Option(help="JSON of roles.")] = None,
    folds: Annotated[int | None, typer.Option(help="Instead of --split: cross-validation in this many folds.")] = None,
    images: Annotated[
        int | None, typer.Option(min=1, help="Images that each of --systems sees in training, over all its runs.")
    ] = None,
    systems: Annotated[str, typer.Option(help="Systems or recipes to train, as stargan,tcmgan,pix2pix.")] = "",
    size: Annotated[str, typer.Option(help="Which recipe a system's name stands for: small, mr or paper.")] = "small",
    runs: Annotated[
        list[str] | None, typer.Option(help="name=FOLDER: a run or set of runs that is there; may be repeated.")
    ] = None,
    have: Annotated[str, typer.Option(help="Contrasts given; the first is the control 'copy'.")] = "t2",
    want: Annotated[str, typer.Option(help="Contrasts made.")] = "flair,t1ce,t1",
    against: Annotated[str, typer.Option(help="The system to test the others against; the first by default.")] = "",
    role: Annotated[str, typer.Option(help="The role that is judged.")] = "test",
    downstream: Annotated[bool, typer.Option("--downstream", help="Judge by segmentation too (needs MONAI).")] = False,
    segmenter: Annotated[
        Path | None, typer.Option(help="Folder of its segmenters; trained if it is empty. OUT/segmenter by default.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda[:N] or mps.")] = "auto",
    cache: Annotated[Path | None, typer.Option(help="Where normalised volumes are kept; ~/.cache by default.")] = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print no progress.")] = False,
) -> None:
    """Train each system for as many images, synthesise the judged role, write one table. Goes on where it stopped."""
    from polycontrast.cli.command import command
    from polycontrast.cli.names import names
    from polycontrast.device import choose, keep_memory
    from polycontrast.errors import EXIT_SOME_FAILED, UserError
    from polycontrast.workflows.compare import compare
    from polycontrast.workflows.folds import FOLDS, compare_folds
    from polycontrast.workflows.setting import Setting

    keep_memory()
    if size not in SIZES:
        raise UserError(f"no size {size!r}", hint=f"there are: {', '.join(SIZES)}")
    if (split is None) == (folds is None):
        raise UserError("give either --split or --folds", hint="--folds 5 makes its own splits and keeps them below -o")
    if segmenter is not None and not downstream:
        raise UserError("--segmenter is of use with --downstream alone", hint="add --downstream, or leave it out")
    trained = [name.strip() for name in systems.split(",") if name.strip()]
    entrants: dict[str, Recipe | Path] = {name: _recipe(name, size) for name in trained}
    for text in runs or ():
        name, _, folder = text.partition("=")
        if not folder or name in entrants:
            raise UserError(f"--runs {text!r} is not name=FOLDER with a name of its own")
        entrants[name] = Path(folder)
    if not entrants:
        raise UserError("nothing to compare", hint="--systems unet,pix2pix or --runs name=FOLDER")
    if images is not None and not trained:
        raise UserError("--images is of use with --systems alone", hint="what --runs names is trained already")
    setting = Setting(
        data, split or out / FOLDS, images, names(have) or (), names(want) or (), role, choose(device),
        downstream=downstream, segmenter=segmenter, prepare=keep_memory, progress=not quiet, command=command(),
        against=against,
    )  # fmt: skip
    tell = (lambda _: None) if quiet else _tell
    if folds is None:
        result = compare(entrants, setting, out, cache=cache, tell=tell)
    else:
        result = compare_folds(entrants, setting, folds, out, cache=cache, tell=tell)
    typer.echo((out / "compare.md").read_text(encoding="utf-8"))
    typer.echo(f"tables: {out}; pictures: {out if folds is None else out / 'fold_*'}")
    if result["failures"]:
        typer.echo(f"not all of it was done; see the end of {out / 'compare.md'}", err=True)
        raise typer.Exit(EXIT_SOME_FAILED)


def _tell(text: str) -> None:
    typer.echo(text, err=True)


def _recipe(name: str, size: str) -> "Recipe":
    """The recipe that a system's name stands for at this size, or the recipe of this very name."""
    from polycontrast import recipes
    from polycontrast.systems import SYSTEMS

    if name not in SYSTEMS:
        return recipes.recipe(name)
    fitting = [one for form in SIZES[size] if (one := form.format(name)) in recipes.RECIPES]
    return recipes.recipe(fitting[0] if fitting else SIZES[size][0].format(name))
