"""A report's input without an evaluation: invented values of 20 cases, three contrasts, every system and protocol."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from polycontrast import pictures
from polycontrast.contrasts import slug
from polycontrast.metrics import downstream, gallery, looks, report, tables
from polycontrast.metrics.downstream import Outcome
from polycontrast.metrics.looks import Look
from polycontrast.metrics.protocols import PROTOCOLS
from polycontrast.metrics.tables import Failure, Row

HOSTILE = '<img src="http://127.0.0.1:{port}/case"> & <b>'
SYSTEMS = {"synthetic": 24.0, "copy": 14.0, "mean image": 20.0, "constant": 17.0}
FACTS = {
    "have": ("T2",), "dropped": False, "role": "test", "fitted": ["g"],
    "mean_image": {"cases": 1, "note": "elsewhere 0.5"},
}  # fmt: skip


@dataclass
class Drawn:
    """What `report.write` is given."""

    rows: list[Row]
    failures: list[Failure]
    looks: list[Look]
    outcomes: list[Outcome]
    want: tuple[str, ...]
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def summary(self) -> dict[str, Any]:
        facts = {**FACTS, "want": self.want, "cases": len({row.case for row in self.rows}), **self.facts}
        summary = tables.summarise_rows(self.rows, self.failures, facts)
        return summary | ({"downstream": downstream.summarise(self.outcomes)} if self.outcomes else {})

    def write(self, out: Path, command: str = "polycontrast eval -i a") -> str:
        path = report.write(out, self.summary, self.rows, self.failures, self.looks, command, self.outcomes)
        return path.read_text(encoding="utf-8")


def draw(
    cases: Sequence[str], want: Sequence[str] = ("T1",), protocols: Sequence[str] = ("polycontrast",), seed: int = 0
) -> Drawn:
    """Values that differ by case and system; each case's PSNR in the brain is 24 dB and what its place adds."""
    rng = np.random.default_rng(seed)
    rows, outcomes, seen = [], [], []
    for place, case in enumerate(cases):
        for contrast in want:
            rows += [
                Row(case, contrast, system, name, region, _values(PROTOCOLS[name].columns, base + place / 10, rng))
                for name in protocols for system, base in SYSTEMS.items() for region in PROTOCOLS[name].regions
            ]  # fmt: skip
            seen.append(_look(case, contrast, rng))
        outcomes += [
            Outcome(case, source, region, dict.fromkeys(downstream.UNITS, float(rng.uniform(0.5, 0.9))))
            for source in ("real", "synthetic", "T2 only", "zero-filled") for region in ("whole", "core", "enhancing")
        ]  # fmt: skip
    return Drawn(rows, [], seen, outcomes, tuple(want))


def draw_mosaics(out: Path, drawn: Drawn) -> None:
    """The gallery's files: one mosaic of a noisy ball, as large as that of a real head, under each of their names."""
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in (140, 170, 140)), indexing="ij")
    noise = np.random.default_rng(0).normal(0.5, 0.2, x.shape)
    ball = np.where(x**2 + y**2 + z**2 < 0.9, noise, 0).astype(np.float32)
    shown = {"T2": ball, "T1 from T2": ball, "real T1": ball, "difference": ball - 0.5, "confidence": ball}
    one = out / "mosaic.png"
    pictures.mosaic(one, shown, spacing=(1, 1, 1), center=(70, 85, 70), title="a: T1 from T2", synthetic={"T1 from T2"})
    for contrast, name, _ in gallery.choose(drawn.rows):
        shutil.copy(one, out / f"{name}_{slug(contrast)}.png")


def _values(columns: Sequence[str], psnr: float, rng: np.random.Generator) -> dict[str, float | None]:
    return {name: psnr if name == "psnr" else psnr / 30 + float(rng.normal(0, 0.01)) for name in columns}


def _look(case: str, contrast: str, rng: np.random.Generator) -> Look:
    frequencies = np.arange(1, 60) / 120
    power = np.exp(-10 * frequencies + rng.normal(0, 0.1))
    joint = np.zeros((len(looks.EDGES) - 1,) * 2, np.uint32)
    np.add.at(joint, tuple(rng.normal(40, 8, (2, 5000)).astype(int).clip(0, 99)), 1)
    means = {name: (0.7, 0.7 + float(rng.normal(-0.1, 0.05))) for name in looks.MEANS}
    return Look(case, contrast, means, frequencies, power, power * np.exp(-3 * frequencies), joint)
