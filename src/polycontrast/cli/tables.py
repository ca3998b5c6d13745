"""What several verbs print alike."""

import csv
from collections.abc import Sequence
from pathlib import Path

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


def write_failures(file: Path, failed: Sequence[tuple[str, str]]) -> Path | None:
    """A CSV of which cases failed, and why; an old one is removed where none did."""
    from polycontrast.io.files import atomic_write

    if not failed:
        file.unlink(missing_ok=True)
        return None
    with atomic_write(file) as part, part.open("w", newline="", encoding="utf-8") as handle:
        csv.writer(handle).writerows([("case", "reason"), *failed])
    return file
