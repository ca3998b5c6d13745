"""What several verbs print alike."""

import csv
from collections.abc import Sequence
from pathlib import Path

import typer
from rich.console import Console
from rich.table import Table


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on a terminal; tab-separated lines where the output goes to a file or another program."""
    console = Console()
    if not console.is_terminal:
        for row in [columns, *rows]:
            print("\t".join(row))
        return
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column)
    for row in rows:
        table.add_row(*row)
    console.print(table)


def tell_unknown(source: Path, unknown: list[Path] | None = None) -> None:
    """Say which images are left out, for no convention knows their names. unknown: those, if found already."""
    from polycontrast.io.layout import find_cases, in_short

    if unknown is None:
        find_cases(source, {}, unknown := [])
    if unknown:
        many = "1 image is" if len(unknown) == 1 else f"{len(unknown)} images are"
        typer.echo(f"{many} left out, for no convention knows the name: {in_short(unknown, source)}", err=True)


def write_failures(file: Path, failed: Sequence[tuple[str, str]]) -> Path | None:
    """A CSV of which cases failed, and why, whatever their names hold; an old one is removed where none did."""
    from polycontrast.io.files import atomic_write

    if not failed:
        file.unlink(missing_ok=True)
        return None
    with (
        atomic_write(file) as part,
        part.open("w", newline="", encoding="utf-8", errors="backslashreplace") as handle,
    ):
        csv.writer(handle).writerows([("case", "reason"), *failed])
    return file
