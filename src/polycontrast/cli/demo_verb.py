"""polycontrast demo: the main job on phantoms, in a minute."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from polycontrast.recipes import Recipe


def run(
    out: Annotated[Path, typer.Option("-o", "--out", help="An empty or absent folder.")] = Path("demo"),
    train: Annotated[
        bool, typer.Option("--train", help="Train a small model on the phantoms first, which takes minutes.")
    ] = False,
    images: Annotated[int | None, typer.Option(min=1, help="With --train: on fewer images, for a quick look.")] = None,
    patients: Annotated[
        int | None, typer.Option(min=3, help="How many phantom patients are made; 4, or 10 with --train.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda[:N] or mps.")] = "auto",
) -> None:
    """Make phantom patients, synthesise one from its T2 with the model that comes with polycontrast, judge it."""
    from polycontrast.cli.command import command
    from polycontrast.device import choose, keep_memory
    from polycontrast.errors import UserError
    from polycontrast.workflows.demo import demo

    keep_memory()
    if images is not None and not train:
        raise UserError("--images is of use with --train alone", hint="add --train, or leave it out")
    recipe = _recipe(images) if train else None
    number = patients or (10 if train else 4)
    demo(out, recipe=recipe, patients=number, device=choose(device), command=command(), tell=typer.echo)


def _recipe(images: int | None) -> "Recipe":
    from dataclasses import replace

    from polycontrast import recipes

    recipe = recipes.recipe("tcmgan_demo")
    return recipe if images is None else replace(recipe, train=replace(recipe.train, images=images))
