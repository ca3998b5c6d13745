"""polycontrast check: what is found in a folder, before hours are spent on it."""

from pathlib import Path
from typing import Annotated

import typer


def run(
    data: Annotated[Path, typer.Argument(help="A case's folder, a folder of cases, or a CSV.")],
    headers_only: Annotated[
        bool, typer.Option("--headers-only", help="Do not read the voxels (fast; finds no damage in them).")
    ] = False,
) -> None:
    """List the cases with their contrasts, grid, problems and what looks unusual. Exit code 3 if one has a problem."""
    from polycontrast.cli.tables import show, tell_unknown
    from polycontrast.errors import EXIT_SOME_FAILED
    from polycontrast.io.layout import find_cases
    from polycontrast.workflows.check import Checked, check_case

    flawed: dict[str, str] = {}
    unknown: list[Path] = []
    found = [check_case(case, voxels=not headers_only) for case in find_cases(data, flawed, unknown)]
    found += [Checked((case, "", "", "", ""), reason) for case, reason in flawed.items()]
    columns = ("case", "convention", "contrasts", "segmentation", "grid", "problem", "unusual")
    show(str(data), columns, [(*row.described, row.problem, "; ".join(row.flags)) for row in found])
    bad = sum(bool(row.problem) for row in found)
    typer.echo(f"{len(found)} cases, {bad} with a problem", err=True)
    tell_unknown(data, unknown)
    if bad:
        raise typer.Exit(EXIT_SOME_FAILED)
