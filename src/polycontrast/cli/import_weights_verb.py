"""polycontrast import-weights: checkpoints of the original repositories as run folders."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from polycontrast.data.cache import Entry
    from polycontrast.recipes import Recipe


def run(
    kind: Annotated[str, typer.Argument(help="stargan, pix2pix, cyclegan or tcmgan: whose checkpoint it is.")],
    file: Annotated[Path, typer.Argument(help="The generator's file, such as latest_net_G.pth or 200000-G.ckpt.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The run folder to write.")],
    recipe: Annotated[
        str | None, typer.Option(help="What photographs it was trained on, as stargan_rafd; the kind's own if absent.")
    ] = None,
    second: Annotated[Path | None, typer.Option(help="cyclegan: the generator of the way back.")] = None,
    labels: Annotated[str | None, typer.Option(help="stargan: the labels, as Black_Hair,Male,Young.")] = None,
    size: Annotated[
        int | None, typer.Option(min=64, help="Photographs: the edge of the images it was trained on.")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="tcmgan: folder or CSV of cases, to fit its units.")] = None,
    split: Annotated[Path | None, typer.Option(help="tcmgan: JSON of roles; without it every case counts.")] = None,
    role: Annotated[
        str | None, typer.Option(help="tcmgan: the role that the units are fitted to; gan if absent.")
    ] = None,
    device: Annotated[str, typer.Option(help="tcmgan: auto, cpu, cuda[:N] or mps.")] = "auto",
    cache: Annotated[
        Path | None, typer.Option(help="tcmgan: where normalised volumes are kept; ~/.cache by default.")
    ] = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print nothing but errors.")] = False,
) -> None:
    """Make a run folder of a checkpoint that another repository published. The file is read, never executed."""
    from polycontrast.device import choose, keep_memory
    from polycontrast.errors import UserError
    from polycontrast.workflows.cohort import cached_cases
    from polycontrast.workflows.import_weights import NOT_IMPORTED, import_weights

    keep_memory()
    about_cases = {"--split": split, "--role": role, "--cache": cache}
    if data is None and (idle := [option for option, value in about_cases.items() if value is not None]):
        raise UserError(f"{', '.join(idle)} without --data", hint="they say which cases of --data count, for tcmgan")

    def entries(fitted: "Recipe") -> "list[Entry]":
        assert data is not None
        return cached_cases(data, split, role or "gan", fitted.data.contrasts, cache, quiet=quiet)

    names = tuple(name.strip() for name in labels.split(",")) if labels else ()
    told = import_weights(
        kind, file, out, recipe=recipe, second=second, labels=names, size=size,
        source=entries if data is not None else None, device=choose(device),
    )  # fmt: skip
    if quiet:
        return
    if told.get("b_to_a") == NOT_IMPORTED:
        typer.echo("only one way was imported: the model makes B of A; --second FILE would add B to A")
    typer.echo(f"run folder: {out}")
