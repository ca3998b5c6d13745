"""The judging of one system of a comparison, with what is shared by all."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from polycontrast.errors import UserError
from polycontrast.io import formats
from polycontrast.io.files import read_json, write_json
from polycontrast.io.layout import find_cases
from polycontrast.metrics import controls, downstream, tables
from polycontrast.metrics.controls import Fitted
from polycontrast.metrics.downstream import Outcome, Segmenters
from polycontrast.metrics.evaluate import JUDGED, Known, evaluate, roles_of
from polycontrast.metrics.measures import METRICS
from polycontrast.metrics.protocols import PROTOCOLS
from polycontrast.metrics.synthetic import Files, synthetic_files
from polycontrast.metrics.tables import SUMMARY, SYSTEM, Row
from polycontrast.workflows.setting import Setting, apart
from polycontrast.workflows.significance import EVALUATION


@dataclass
class Shared:
    """What does not depend on the system: found beside the first that is judged, and used for all.

    rows: of the controls; outcomes: of the segmenters' inputs without a synthetic image.
    """

    setting: Setting
    segmenters: Segmenters | None
    tell: Callable[[str], None]
    fitted: Fitted | None = None
    rows: list[Row] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def segmented_by(self) -> list[dict[str, Any]] | None:
        """How the segmenters were made; None without any."""
        return [one.told for one in (self.segmenters.full, self.segmenters.alone)] if self.segmenters else None

    def fit(self) -> None:
        """The mean image and the models of slices, unless they are there."""
        if self.fitted is None:
            self.tell("making the mean image, and the models of what real slices look like")
            names = roles_of(self.setting.split, self.setting.role)[1]
            cases = [case for case in find_cases(self.setting.data, {}) if case.id in names]
            self.fitted = controls.fit(cases, self.setting.want)

    def keep(self, rows: Sequence[Row], outcomes: Sequence[Outcome]) -> None:
        """Remember what does not depend on the system, of the evaluation that judged the most."""
        self.rows = max(self.rows, [row for row in rows if row.system != SYSTEM], key=len)
        self.outcomes = max(self.outcomes, list(outcomes), key=len)


def open_segmenters(setting: Setting, folder: Path, tell: Callable[[str], None]) -> Segmenters | None:
    """The downstream segmenters, if they are asked for: those in the folder, or trained now and kept there. They learn
    from cases that are not judged; UserError if there are none."""
    if not setting.downstream:
        return None
    _, cases = apart(setting)
    return downstream.open_segmenters(folder, cases, setting.have, setting.want, tell)


def evaluation(folder: Path, shared: Shared) -> dict[str, Any]:
    """The summary of the evaluation that is there, if it is one of these volumes and cases by these measures; else of a
    new one. Its "downstream" says how the "segmenters" were made."""
    synthetic, out, setting = folder / "synthetic", folder / EVALUATION, shared.setting
    file = out / SUMMARY
    if (kept := _kept(out, synthetic, shared)) is not None:
        shared.keep(*kept)
        return cast(dict[str, Any], read_json(file))
    shared.fit()
    result = evaluate(
        synthetic, setting.data, out, want=setting.want, split=setting.split, role=setting.role, have=setting.have,
        segmenters=shared.segmenters, known=Known(shared.fitted, shared.rows, shared.outcomes), command=setting.command,
        notify=lambda case: shared.tell(f"{folder.name}: judging {case}"),
    )  # fmt: skip
    shared.keep(result.rows, result.outcomes)
    summary = cast(dict[str, Any], read_json(file))
    if shared.segmenters is not None:
        summary["downstream"]["segmenters"] = shared.segmented_by
        write_json(file, summary)
    return summary


def _kept(out: Path, synthetic: Path, shared: Shared) -> tuple[list[Row], list[Outcome]] | None:
    """The rows and outcomes of the evaluation that is there; None if there is none that is current and can be read."""
    file = out / SUMMARY
    if not file.exists():
        return None
    try:
        made = synthetic_files(synthetic)
        if _newest(made, shared.setting) >= file.stat().st_mtime_ns or not _is_current(read_json(file), made, shared):
            return None
        return tables.read(out), downstream.read(out) if shared.segmenters else []
    except UserError:  # of another version, cut short, or of files that are no longer whole: it is made anew
        return None


def _newest(made: Files, setting: Setting) -> int:
    """When the last of these volumes, or of the real images that are looked at for them, was written."""
    cases = {case.id: case for case in find_cases(setting.data, flawed={})}
    used = [cases[id] for ids in roles_of(setting.split, setting.role) for id in ids if id in cases]
    images = [image for case in used for image in (*case.contrasts.values(), case.segmentation) if image]
    real = [file for image in images for file in formats.files_of(image) if file.exists()]
    return max(file.stat().st_mtime_ns for file in (*(path for paths in made.values() for path in paths), *real))


def _is_current(summary: Mapping[str, Any], made: Files, shared: Shared) -> bool:
    """Whether an evaluation is of these cases and volumes, by these measures, protocols and segmenters, and whole: what
    could not be judged is tried again, for its truth may have been mended."""
    setting = shared.setting
    judged, fitted = roles_of(setting.split, setting.role)
    asked = {
        "have": list(setting.have), "want": list(setting.want), "judged": judged, "fitted": fitted, "failures": [],
        "dropped": False,
        "protocols": {name: dict(PROTOCOLS[name].description) for name in JUDGED},
    }  # fmt: skip
    same = all(summary.get(key) == value for key, value in asked.items())
    same &= made.keys() >= {(case, contrast) for case in judged for contrast in setting.want}
    regions = {
        (name, frozenset(by_system[SYSTEM]))
        for name, by_contrast in summary.get("results", {}).items() for by_system in by_contrast.values()
    }  # fmt: skip
    measured = list(summary.get("units", ())) == list(METRICS)
    measured &= regions == {(name, frozenset(PROTOCOLS[name].regions)) for name in JUDGED}
    segmented_by = summary.get("downstream", {}).get("segmenters")
    return same and measured and (shared.segmenters is None or segmented_by == shared.segmented_by)
