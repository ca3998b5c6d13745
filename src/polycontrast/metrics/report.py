"""The report of an evaluation: one HTML file that holds all it shows, for a radiologist and for a reviewer.

Nothing is fetched: pictures are inside the page, there is no script, and a content security policy forbids the rest.
Whatever comes from files (case names, reasons) is escaped. The page is filled from report.html.jinja.
"""

import importlib.metadata
import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from polycontrast import pictures
from polycontrast.contrasts import slug
from polycontrast.io.files import atomic_write
from polycontrast.metrics import gallery, looks, report_tables
from polycontrast.metrics.looks import Look
from polycontrast.metrics.protocols import POLYCONTRAST
from polycontrast.metrics.report_tables import PER_CASE, SYSTEMS, Nested, number
from polycontrast.metrics.statistics import by_patient
from polycontrast.metrics.tables import MAIN, SYSTEM, Failure, Row, digits, heading

if TYPE_CHECKING:
    from polycontrast.metrics.downstream import Outcome

REPORT = "report.html"
TEMPLATE = "report.html.jinja"
PICTURES = 3_200_000  # bytes of all pictures before base64: a report of 20 cases stays under 5 MB
PACKAGES = ("torch", "numpy", "scipy", "scikit-image", "nibabel", "monai", "matplotlib", "pillow")


def write(
    out: Path,
    summary: Nested,
    rows: Sequence[Row],
    failures: Sequence[Failure],
    seen: Sequence[Look],
    command: str = "",
    outcomes: "Sequence[Outcome]" = (),
) -> Path:
    """Draw the charts as PNG and CSV files into `out`, and write `report.html` with them and the gallery's mosaics.

    summary: as `tables.summarise_rows` makes it; "cohort" and "system", their names, are shown if there. seen: what
    each judged volume adds to the figures. command: what was typed, printed as it is. outcomes: of the segmenter, if
    there was one. Returns the page's path.
    """
    from jinja2 import Environment, StrictUndefined

    charts = {**_violins(out, rows), **looks.draw(out, seen)}
    mosaics = _mosaics(out, rows)
    shown = [path for by_contrast in charts.values() for path in by_contrast.values()]
    settings = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    settings.filters["head"] = heading
    page = settings.from_string(files(__package__).joinpath(TEMPLATE).read_text(encoding="utf-8")).render(
        **report_tables.context(summary, rows, failures, outcomes),
        charts=charts,
        mosaics=mosaics,
        images=pictures.embed([*shown, *(path for _, _, path in mosaics)], PICTURES),
        made=datetime.now(UTC),
        command=command,
        versions=_versions(),
        machine=_machine(),
    )
    with atomic_write(out / REPORT) as part:
        part.write_text(page, encoding="utf-8")
    return out / REPORT


def _violins(out: Path, rows: Sequence[Row]) -> dict[str, dict[str, Path]]:
    """{"violins": {contrast: file}}: brain and tumour, a panel per measure."""
    visits: dict[tuple[tuple[str, str, str], str], dict[str, float | None]] = {}
    for row in rows:
        if row.protocol == POLYCONTRAST.name and row.region in MAIN:
            for name in PER_CASE:
                visits.setdefault(((row.contrast, row.region, name), row.system), {})[row.case] = row.values.get(name)
    patients = {place: [v for v in by_patient(values).values() if v is not None] for place, values in visits.items()}
    found = {place: values for place, values in patients.items() if values}
    drawn = {}
    for contrast in dict.fromkeys(place[0] for place, _ in found):
        panels = {
            f"{heading(name)}, {region}": {s: found[place, s] for s in SYSTEMS if (place, s) in found}
            for region in MAIN for name in PER_CASE if ((place := (contrast, region, name)), SYSTEM) in found
        }  # fmt: skip
        drawn[contrast] = out / f"violins_{slug(contrast)}.png"
        pictures.violins(drawn[contrast], panels, columns=len(PER_CASE))
    return {"violins": drawn}


def _mosaics(out: Path, rows: Sequence[Row]) -> list[tuple[str, str, Path]]:
    """(contrast, what is shown, file) of the pictures that the gallery has drawn."""
    psnr = {(r.contrast, r.case): r.values["psnr"] for r in rows if _is_main(r) and r.region == "brain"}
    chosen = [(c, name, case, out / f"{name}_{slug(c)}.png") for c, name, case in gallery.choose(rows)]
    told = "{} case by PSNR in the brain: {}, {} dB"
    return [
        (contrast, told.format(name.capitalize(), case, number(psnr[contrast, case], digits("psnr"))), path)
        for contrast, name, case, path in chosen
        if path.exists()
    ]


def _is_main(row: Row) -> bool:
    return row.protocol == POLYCONTRAST.name and row.system == SYSTEM


def _versions() -> dict[str, str]:
    """Of what computed the numbers, those that are installed."""
    there = {dist.name.lower() for dist in importlib.metadata.distributions() if dist.name}
    found = {name: importlib.metadata.version(name) for name in PACKAGES if name in there}
    return {"Python": platform.python_version(), **found}


def _machine() -> str:
    """What it is, not whose: no host's or user's name."""
    return f"{platform.system()} {platform.release()}, {platform.machine()}, {os.cpu_count()} CPU cores"
