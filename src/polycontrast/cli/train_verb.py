"""polycontrast train: from a folder of patients to a run folder."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from polycontrast.recipes import Recipe


def run(
    recipe: Annotated[str, typer.Option(help="tcmgan, tcmgan_report, tcmgan_native or tcmgan_demo.")],
    data: Annotated[Path, typer.Option(help="Folder or CSV of cases.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The run folder to write.")],
    split: Annotated[Path | None, typer.Option(help="JSON of roles; without it every case is trained on.")] = None,
    images: Annotated[
        int | None, typer.Option(min=1, help="Length in images seen; schedule and pre-training scale.")
    ] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Images per step over all ranks.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of initialisation, order and draws.")] = None,
    precision: Annotated[str | None, typer.Option(help="bfloat16 or float32; the recipe decides if absent.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda[:N] or mps.")] = "auto",
    cache: Annotated[Path | None, typer.Option(help="Where normalised volumes are kept; ~/.cache by default.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint.")] = False,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Mirror the log to TensorBoard.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No progress.")] = False,
) -> None:
    """Train a recipe on the cases of its role. Run it under torchrun for several processes."""
    from polycontrast import recipes
    from polycontrast.device import choose, keep_memory
    from polycontrast.train import distributed
    from polycontrast.train.loop import train
    from polycontrast.workflows.cohort import cached_cases

    keep_memory()
    chosen = _override(recipes.recipe(recipe), images, batch, seed, precision)
    entries = cached_cases(data, split, chosen.train.role, chosen.data.contrasts, cache, quiet=quiet)
    try:
        train(chosen, entries, out, device=choose(device), resume=resume, tensorboard=tensorboard, progress=not quiet)
    finally:
        distributed.stop()
    if not quiet:
        typer.echo(f"run folder: {out}")


def _override(
    recipe: "Recipe", images: int | None, batch: int | None, seed: int | None, precision: str | None
) -> "Recipe":
    from polycontrast.errors import UserError

    train = recipe.train
    if images is not None:
        train = replace(train, images=images)
    if batch is not None:
        train = replace(train, batch=batch)
    if seed is not None:
        train = replace(train, seed=seed)
    if precision not in (None, "bfloat16", "float32"):
        raise UserError(f"unknown precision {precision!r}", hint="bfloat16 or float32")
    if precision is not None:
        players = ("generator", "discriminator", "segmenter") if precision == "bfloat16" else ()
        train = replace(train, bfloat16=players)
    return replace(recipe, train=train)
