"""polycontrast eval: how good synthetic volumes are, beside the controls."""

from pathlib import Path
from typing import Annotated

import typer


def run(
    synthetic: Annotated[Path, typer.Option("-i", "--input", help="Folder that holds *_synth.nii.gz.")],
    data: Annotated[Path, typer.Option(help="Folder or CSV of the real cases.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Where tables and pictures are written.")],
    want: Annotated[str | None, typer.Option(help="Contrasts judged; those found by default.")] = None,
    have: Annotated[str, typer.Option(help="What the system was given; the first is the control 'copy'.")] = "t2",
    split: Annotated[Path | None, typer.Option(help="JSON of roles; without it every case is judged.")] = None,
    role: Annotated[str, typer.Option(help="The role that is judged.")] = "test",
    fit_role: Annotated[str, typer.Option(help="The role that the control 'mean image' is made of.")] = "gan",
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print no progress.")] = False,
) -> None:
    """PSNR, SSIM and NMAE per volume, whole brain and tumour, with controls, intervals and mosaics."""
    from polycontrast.cli.names import names
    from polycontrast.errors import EXIT_SOME_FAILED
    from polycontrast.metrics.evaluate import evaluate

    result = evaluate(
        synthetic, data, out, want=names(want), split=split, role=role,
        have=names(have) or (), fit_role=fit_role,
        notify=(lambda _: None) if quiet else (lambda case: typer.echo(f"judging {case}", err=True)),
    )  # fmt: skip
    typer.echo((out / "summary.md").read_text(encoding="utf-8"))
    typer.echo(f"tables and pictures: {out}")
    if result.failures:
        typer.echo(f"{len(result.failures)} could not be judged: {out / 'failures.csv'}", err=True)
        raise typer.Exit(EXIT_SOME_FAILED)
