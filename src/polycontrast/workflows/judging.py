"""The judging of one system of a comparison, with what is shared by all."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from polycontrast.io.files import read_json
from polycontrast.io.layout import find_cases
from polycontrast.metrics import controls, downstream, tables
from polycontrast.metrics.controls import Fitted
from polycontrast.metrics.downstream import Outcome, Segmenters
from polycontrast.metrics.evaluate import SUFFIX, Known, evaluate, roles_of
from polycontrast.metrics.measures import METRICS
from polycontrast.metrics.tables import SUMMARY, SYSTEM, Row
from polycontrast.workflows.setting import Setting, apart
from polycontrast.workflows.significance import EVALUATION


@dataclass
class Shared:
    """What does not depend on the system: found beside the first that is judged, and used for all.

    segmenter: the folder of the downstream segmenters. rows: of the controls; outcomes: of the segmenters' inputs
    without a synthetic image.
    """

    setting: Setting
    segmenter: Path
    tell: Callable[[str], None]
    fitted: Fitted | None = None
    segmenters: Segmenters | None = None
    rows: list[Row] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)

    def prepare(self) -> None:
        """Fit and train what is not there yet."""
        setting = self.setting
        if self.fitted is None:
            self.tell("making the mean image, and the models of what real slices look like")
            names = roles_of(setting.split, setting.role)[1]
            self.fitted = controls.fit([c for c in find_cases(setting.data) if c.id in names], setting.want)
        if setting.downstream and self.segmenters is None:
            _, cases = apart(setting)
            self.segmenters = downstream.open_segmenters(
                self.segmenter, cases, setting.have, setting.want, self.tell
            )  # fmt: skip

    def keep(self, rows: Sequence[Row], outcomes: Sequence[Outcome]) -> None:
        """Remember what does not depend on the system, of the evaluation that judged the most."""
        self.rows = max(self.rows, [row for row in rows if row.system != SYSTEM], key=len)
        self.outcomes = max(self.outcomes, list(outcomes), key=len)


def evaluation(folder: Path, shared: Shared) -> dict[str, Any]:
    """The summary of the evaluation that is there, if it is one of these volumes and cases by these measures; else of a
    new one."""
    synthetic, out, setting = folder / "synthetic", folder / EVALUATION, shared.setting
    file = out / SUMMARY
    if file.exists() and _is_current(read_json(file), file, synthetic, setting):
        shared.keep(tables.read(out), downstream.read(out) if setting.downstream else [])
        return cast(dict[str, Any], read_json(file))
    shared.prepare()
    result = evaluate(
        synthetic, setting.data, out, want=setting.want, split=setting.split, role=setting.role, have=setting.have,
        segmenters=shared.segmenters, known=Known(shared.fitted, shared.rows, shared.outcomes), command=setting.command,
        notify=lambda case: shared.tell(f"{folder.name}: judging {case}"),
    )  # fmt: skip
    shared.keep(result.rows, result.outcomes)
    return cast(dict[str, Any], read_json(file))


def _is_current(summary: Mapping[str, Any], file: Path, synthetic: Path, setting: Setting) -> bool:
    """Whether an evaluation is of these volumes and cases, by these measures."""
    made = max((path.stat().st_mtime_ns for path in synthetic.rglob(f"*{SUFFIX}")), default=0)
    judged, fitted = roles_of(setting.split, setting.role)
    asked = {"have": list(setting.have), "want": list(setting.want), "judged": judged, "fitted": fitted}
    same = all(summary.get(key) == value for key, value in asked.items())
    whole = list(summary.get("units", ())) == list(METRICS) and setting.downstream <= ("downstream" in summary)
    return same and whole and made < file.stat().st_mtime_ns
