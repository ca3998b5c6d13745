"""Cases listed in a CSV: for names that no convention knows, and for cases spread over many folders."""

import csv
from pathlib import Path

from polycontrast import contrasts
from polycontrast.errors import UserError
from polycontrast.io import files, formats, labels, layout, naming

_SEGMENTATION_COLUMNS = ("seg", "segmentation", "label", "mask")


def read(path: Path) -> list[layout.Case]:
    """The cases of a CSV, sorted by id.

    Columns: `case`, one per contrast in any spelling, optionally `seg` and `labels` (the name of a label map).
    A cell holds a file, or a folder with one DICOM series; relative paths start at the CSV; an empty cell means that
    the case lacks it. Other columns are ignored unless they name images. UserError naming the line that is wrong.
    """
    rows = _rows(path)
    columns = _columns(rows, path)
    cases: dict[str, layout.Case] = {}
    for line, row in enumerate(rows, start=2):
        case = _case({columns[name]: cell for name, cell in row.items() if name in columns and cell}, line, path)
        if case.id in cases:
            raise UserError(f"line {line}: case {case.id} is listed twice", hint="one line per case", path=path)
        cases[case.id] = case
    return [cases[id] for id in sorted(cases)]


def _rows(path: Path) -> list[dict[str, str]]:
    """The lines below the header, cells stripped."""
    with files.open_input(path) as file:
        try:
            lines = file.read().decode("utf-8-sig").splitlines()
            rows = [{k.strip(): (v or "").strip() for k, v in row.items() if k} for row in csv.DictReader(lines)]
        except (UnicodeDecodeError, csv.Error) as error:
            raise UserError(f"not a CSV in UTF-8: {error}", hint="save it as CSV UTF-8", path=path) from error
    if not rows:
        raise UserError("no cases are listed", hint="expected columns: case,t1,t1ce,t2,flair,seg", path=path)
    return rows


def _columns(rows: list[dict[str, str]], path: Path) -> dict[str, str]:
    """Column name -> "case", "labels", SEGMENTATION or a contrast; UserError for an image column of unknown name."""
    columns: dict[str, str] = {}
    for name in rows[0]:
        if name.lower() in ("case", "labels"):
            columns[name] = name.lower()
        elif name.lower() in _SEGMENTATION_COLUMNS:
            columns[name] = naming.SEGMENTATION
        elif contrasts.find(name) or any(formats.is_image(Path(row.get(name, ""))) for row in rows):
            columns[name] = contrasts.canonical(name)
    twice = {role for role in columns.values() if list(columns.values()).count(role) > 1}
    if "case" not in columns.values() or twice:
        problem = f"two columns mean {', '.join(sorted(twice))}" if twice else "no column `case`"
        hint = "expected columns: case,t1,t1ce,t2,flair,seg"
        raise UserError(f"{problem}; found {', '.join(rows[0])}", hint=hint, path=path)
    return columns


def _case(cells: dict[str, str], line: int, table: Path) -> layout.Case:
    """The case of one line: role -> non-empty cell."""
    id = cells.pop("case", "")
    layout.check_id(id, f"line {line}: ", table)
    label_map = cells.pop("labels", "")
    images = {role: table.parent / cell for role, cell in cells.items()}
    for role, image in images.items():
        if not image.exists():
            hint = "relative paths start at the folder of the CSV"
            raise UserError(f"line {line}: {role} of case {id} is not there: {image}", hint=hint, path=table)
    seg = images.pop(naming.SEGMENTATION, None)
    ordered = {name: images[name] for name in contrasts.SPELLINGS if name in images}
    return layout.Case(id, ordered, seg, "CSV", labels.check_map(label_map or _usual_map(seg), table))


def _usual_map(seg: Path | None) -> str:
    """The label map that the segmentation's own name tells of."""
    _, convention = naming.match_name(seg) if seg else (None, None)
    return convention.labels if convention else "brats"
