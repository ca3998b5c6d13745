"""polycontrast split: give each subject of a cohort a role, or split it into folds."""

from pathlib import Path
from typing import Annotated

import typer

ROLES = "test=10,train=22,gan=-1"


def run(
    data: Annotated[Path, typer.Argument(help="Folder or CSV of cases.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The JSON file to write; with --folds, a folder of them.")],
    roles: Annotated[
        str | None, typer.Option(help="Subjects per role, -1 for all that are left.", show_default=ROLES)
    ] = None,
    folds: Annotated[
        int | None, typer.Option(help="Write this many splits, with each case once in the role test, else in gan.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draw.")] = 0,
) -> None:
    """Write a split file: gan trains a system, train its downstream segmenter, test is for judging only."""
    from polycontrast.data.split import fold_file, make_folds, make_split
    from polycontrast.errors import UserError
    from polycontrast.io.files import write_json
    from polycontrast.io.layout import find_cases

    if folds is not None and roles is not None:
        raise UserError("--folds and --roles exclude each other", hint="the roles of folds are gan and test")
    counts = _counts(ROLES if roles is None else roles)
    if old := [file for file in (out, *sorted(out.glob("fold_*.json"))) if file.is_file()]:
        hint = "a test role must not be drawn anew; choose another -o"
        raise UserError("there is a split already", hint=hint, path=old[0])
    cases = find_cases(data)
    if folds is None:
        splits = {out: make_split(cases, counts, seed)}
    else:
        splits = {fold_file(out, i): fold for i, fold in enumerate(make_folds(cases, folds, seed), start=1)}
    for file, split in splits.items():
        write_json(file, split)
        typer.echo(f"{', '.join(f'{len(ids)} {role}' for role, ids in split.items())}: {file}")


def _counts(roles: str) -> dict[str, int]:
    from polycontrast.errors import UserError

    pairs = [part.strip().partition("=") for part in roles.split(",")]
    numbers = all(name and count.removeprefix("-").isdecimal() for name, _, count in pairs)
    if not numbers or len({name for name, _, _ in pairs}) < len(pairs):
        raise UserError(f"--roles {roles!r} is not role=count,... with each role once", hint=f"such as {ROLES}")
    return {name: int(count) for name, _, count in pairs}
