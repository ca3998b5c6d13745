"""polycontrast demo: the main job on phantoms, in a few minutes."""

from pathlib import Path
from typing import Annotated

import typer


def run(
    out: Annotated[Path, typer.Option("-o", "--out", help="An empty or absent folder.")] = Path("demo"),
    images: Annotated[int | None, typer.Option(min=1, help="Train on fewer images (for a quick look).")] = None,
    patients: Annotated[int, typer.Option(min=3, help="How many phantom patients are made.")] = 10,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda[:N] or mps.")] = "auto",
) -> None:
    """Make phantom patients, train a small model on them, synthesise an unseen one from its T2, judge it."""
    from dataclasses import replace

    from polycontrast import recipes
    from polycontrast.cli.command import command
    from polycontrast.device import choose, keep_memory
    from polycontrast.workflows.demo import demo

    keep_memory()
    recipe = recipes.recipe("tcmgan_demo")
    if images is not None:
        recipe = replace(recipe, train=replace(recipe.train, images=images))
    demo(out, recipe=recipe, patients=patients, device=choose(device), command=command(), tell=typer.echo)
