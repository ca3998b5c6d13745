"""polycontrast split: give each subject of a cohort a role."""

from pathlib import Path
from typing import Annotated

import typer


def run(
    data: Annotated[Path, typer.Argument(help="Folder or CSV of cases.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The JSON file to write.")],
    roles: Annotated[
        str, typer.Option(help="Subjects per role, -1 for all that are left.")
    ] = "test=10,train=22,gan=-1",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draw.")] = 0,
) -> None:
    """Write a split file: gan trains a system, train its downstream segmenter, test is for judging only."""
    from polycontrast.data.split import make_split
    from polycontrast.errors import UserError
    from polycontrast.io.files import write_json
    from polycontrast.io.layout import find_cases

    pairs = [part.partition("=") for part in roles.split(",")]
    numbers = all(name and count.removeprefix("-").isdecimal() for name, _, count in pairs)
    if not numbers or len({name for name, _, _ in pairs}) < len(pairs):
        hint = "such as test=10,train=22,gan=-1"
        raise UserError(f"--roles {roles!r} is not role=count,... with each role once", hint=hint)
    if out.exists():
        raise UserError(
            "there is a split already", hint="a test role must not be drawn anew; choose another -o", path=out
        )
    split = make_split(find_cases(data), {name: int(count) for name, _, count in pairs}, seed)
    write_json(out, split)
    typer.echo(f"{', '.join(f'{len(cases)} {role}' for role, cases in split.items())}: {out}")
