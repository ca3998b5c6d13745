"""polycontrast train: from a folder of patients to a run folder."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import torch

    from polycontrast.data import Source
    from polycontrast.errors import UserError
    from polycontrast.recipes import Recipe


def run(
    recipe: Annotated[
        str,
        typer.Option(
            help="pix2pix_mr: a system for patients' volumes; pix2pix_small: for two CPU cores; pix2pix: as its paper "
            "has it, often for photographs. A name that is not known prints the list."
        ),
    ],
    data: Annotated[
        list[Path],
        typer.Option(
            help="Folder or CSV of cases, or a folder of photographs; give it twice for a recipe that learns from two."
        ),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="The run folder to write.")],
    split: Annotated[
        list[Path] | None, typer.Option(help="JSON of roles, one for each --data; without it every case is trained on.")
    ] = None,
    have: Annotated[
        str | None, typer.Option(help="Contrasts given, as t2,flair; the recipe decides if absent.")
    ] = None,
    want: Annotated[
        str | None,
        typer.Option(
            help="Contrasts made, as t1,t1ce; a system made for one pair becomes a set of runs. Of photographs: the "
            "side, or the attributes or expressions to learn, as Young,Smiling."
        ),
    ] = None,
    images: Annotated[
        int | None, typer.Option(min=1, help="Length of a run in images seen; schedule and pre-training scale.")
    ] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Images per step over all ranks.")] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, max=2**63 - 1, help="Seed of initialisation, order and draws.")
    ] = None,
    role: Annotated[
        str | None, typer.Option(help="The roles trained on, as gan or gan,train; the recipe decides if absent.")
    ] = None,
    pretrained: Annotated[
        str | None,
        typer.Option(help="Begin with this model's weights: a run folder, or any2any, the one that comes along."),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(help="bfloat16 or float32; if absent, the recipe's, but float32 where bfloat16 is only imitated."),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda[:N] or mps.")] = "auto",
    cache: Annotated[Path | None, typer.Option(help="Where normalised volumes are kept; ~/.cache by default.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint.")] = False,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Mirror the log to TensorBoard.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No progress.")] = False,
) -> None:
    """Train a recipe on the cases of its role. Run it under torchrun for several processes."""
    from polycontrast import recipes
    from polycontrast.cli.names import names
    from polycontrast.cli.tables import tell_unknown
    from polycontrast.data.configs import PhotoConfig
    from polycontrast.device import choose, keep_memory
    from polycontrast.errors import UserError
    from polycontrast.train import distributed
    from polycontrast.workflows.training import train_ways

    keep_memory()
    place = choose(device)
    chosen = _override(recipes.recipe(recipe), images, batch, seed, role, pretrained, precision, place)
    photographs = isinstance(chosen.data, PhotoConfig)

    def source(one: "Recipe") -> "Source":
        if photographs:
            return _photographs(one, data, bool(split or role or cache))
        return _source(one, data, split or (), role, cache, quiet)

    if not (photographs or quiet or os.environ.get("RANK", "0") != "0"):  # of torchrun's processes the first tells
        for folder in data:
            tell_unknown(folder)
    try:
        train_ways(
            chosen, source, out, have=names(have, photographs), want=names(want, photographs),
            device=place, resume=resume, tensorboard=tensorboard, progress=not quiet,
        )  # fmt: skip
    except BaseException as error:
        distributed.stop()
        if photographs and isinstance(error, UserError):
            raise _for_patients(error, chosen, data) from None
        raise
    if not quiet:
        typer.echo(f"run folder: {out}")
    distributed.finish()


def _source(
    recipe: "Recipe", data: Sequence[Path], split: Sequence[Path], role: str | None, cache: Path | None, quiet: bool
) -> "Source":
    """Cached cases, or a list of them per cohort."""
    from polycontrast.cli.names import check_role
    from polycontrast.data.split import check_together
    from polycontrast.errors import UserError
    from polycontrast.workflows.cohort import cached_cases

    cohorts = recipe.data.labels or (recipe.data.contrasts,)
    if len(data) != len(cohorts):
        raise UserError(
            f"{recipe.name} learns from {len(cohorts)} cohort{'s' * (len(cohorts) > 1)}, found {len(data)} --data",
            hint=" and ".join(f"one with {', '.join(names)}" for names in cohorts),
        )
    check_role(role, split)
    if split and len(split) != len(data):
        raise UserError(
            f"{len(data)} --data and {len(split)} --split", hint="give each cohort its split file, in order"
        )
    check_together(split, recipe.train.role)
    files = [*split, *[None] * (len(data) - len(split))]
    found = [
        cached_cases(folder, file, recipe.train.role, names, cache, quiet=quiet)
        for folder, file, names in zip(data, files, cohorts, strict=True)
    ]
    return found[0] if len(found) == 1 else found


def _photographs(recipe: "Recipe", data: Sequence[Path], others: bool) -> Sequence[Path]:
    """The folders of photographs. others: whether options were given that only patients know."""
    from polycontrast.errors import UserError

    if others:
        hint = "leave them out: the folder's layout, or the recipe's held_out, says what is trained on"
        found = f"{recipe.name} learns from photographs, which know no --split, --role or --cache"
        raise UserError(found, hint, data[0])
    return data


def _for_patients(error: "UserError", recipe: "Recipe", data: Sequence[Path]) -> "UserError":
    """The error with one more hint if it is about the layout of a folder that was given: perhaps it holds patients."""
    from polycontrast.errors import UserError

    if error.path is None or not {error.path, error.path.parent} & set(data):
        return error
    return UserError(error.message, f"{error.hint}; for patients: --recipe {recipe.system.name}_mr", error.path)


def _override(
    recipe: "Recipe",
    images: int | None,
    batch: int | None,
    seed: int | None,
    role: str | None,
    pretrained: str | None,
    precision: str | None,
    device: "torch.device",
) -> "Recipe":
    from polycontrast.data.configs import PatchConfig
    from polycontrast.errors import UserError
    from polycontrast.precision import has_bfloat16
    from polycontrast.recipes.base import BFLOAT16

    if precision not in (None, "bfloat16", "float32"):
        raise UserError(f"unknown precision {precision!r}", hint="bfloat16 or float32")
    if precision == "bfloat16" and not has_bfloat16(device):
        raise UserError(f"{device} only imitates bfloat16, ten times slower or more", hint="leave --precision out")
    if precision == "bfloat16" and device.type == "cpu" and isinstance(recipe.data, PatchConfig):
        found = f"torch's bfloat16 gradients of 3-D convolutions are wrong on a CPU, and {recipe.name} is in 3-D"
        raise UserError(found, hint="leave --precision out")
    players = None if precision is None else BFLOAT16 if precision == "bfloat16" else ()
    given: dict[str, Any] = {
        "images": images, "batch": batch, "seed": seed, "role": role, "pretrained": pretrained, "bfloat16": players,
    }  # fmt: skip
    return replace(recipe, train=replace(recipe.train, **{k: v for k, v in given.items() if v is not None}))
