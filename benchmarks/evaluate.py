"""How long `evaluate` takes for 21 volumes of 240 x 240 x 155, how much memory, and what each measure costs.

The cohort is one phantom under many names, the predictions are its contrasts blurred, with a gain and noise of their
own. The evaluation runs in a fresh process with its defaults: both protocols, three controls, tables, pictures, report;
and again with the controls' rows known, as `compare` has them from the second system on.
"""

import argparse
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from common import fresh, machine, table
from polycontrast.contrasts import slug
from polycontrast.data import intensity, phantom
from polycontrast.io import nifti
from polycontrast.io.files import write_json
from polycontrast.io.layout import find_cases
from polycontrast.io.volume import Array, Geometry
from polycontrast.metrics import controls, gallery, looks, tables
from polycontrast.metrics import evaluate as evaluation
from polycontrast.metrics import report as page
from polycontrast.metrics.measures import METRICS, Metric, Pair
from polycontrast.metrics.protocols import PROTOCOLS
from polycontrast.metrics.reference import Reference, load, read_prediction, reference
from polycontrast.metrics.tables import Row
from polycontrast.metrics.threads import one_blas_thread
from polycontrast.workflows.costs import peak_memory

WANT = ("T1", "T1ce", "FLAIR")
FITTED = 2  # cases of the role that the mean image and NIQE's models are made of
QUICK_SHAPE, QUICK_SPACING = (96, 96, 64), 2.2
# Where `evaluate` calls what takes time; all in one thread. The rest of its time is judging, in two.
STAGES = {
    "fitting: mean image, NIQE": (controls, "fit"),
    "reading the real images": (evaluation, "load"),
    "reading the predictions": (evaluation, "read_prediction"),
    "spectra and histograms": (looks, "look"),
    "statistics": (tables, "summarise_rows"),
    "drawing mosaics": (gallery, "draw"),
    "charts and report": (page, "write"),
}
JUDGING = "judging, by two threads"


@dataclass(frozen=True)
class Whole:
    """One evaluation: volumes judged, wall seconds by stage and in all, CPU seconds in all, peak GB."""

    volumes: int
    stages: dict[str, float]
    seconds: float
    cpu: float
    peak: float


def prepare(folder: Path, cases: int, quick: bool) -> None:
    """`folder/cases`, `folder/split.json` and `folder/synthetic`, of one phantom."""
    made = phantom.make(0, QUICK_SHAPE, QUICK_SPACING) if quick else phantom.make(0)
    judged, fitting = ([f"Phantom_{kind}{i}" for i in range(n)] for kind, n in (("A", cases), ("B", FITTED)))
    for case in (*judged, *fitting):
        phantom.write_case(made, folder / "cases", case)
    geometry, rng = Geometry.from_affine(made.brain.shape, made.affine), np.random.default_rng(0)
    for case in judged:
        for contrast in WANT:
            image = _predicted(made.contrasts[contrast], made.brain, rng)
            nifti.write(folder / "synthetic" / case / f"{case}_{slug(contrast)}_synth.nii.gz", image, geometry)
    write_json(folder / "split.json", {"test": judged, "gan": fitting})


def _predicted(image: Array, brain: intensity.Mask, rng: np.random.Generator) -> Array:
    """In normalised units: blurred, 5 % too bright, with noise."""
    truth = intensity.fit(image, brain).apply(image, brain)
    noise = rng.normal(scale=0.05, size=truth.shape)
    return np.where(brain, 1.05 * ndimage.gaussian_filter(truth, 0.8) + noise, 0).astype(np.float32)


def whole(folder: Path) -> tuple[Whole, Whole]:
    """Evaluate what `prepare` wrote, with its three controls, and again with them known, as of a second system."""
    stages: dict[str, float] = defaultdict(float)
    for stage, (module, name) in STAGES.items():
        setattr(module, name, _timed(getattr(module, name), stage, stages))
    first, rows = _evaluated(folder, stages, ())
    stages.clear()
    again, _ = _evaluated(folder, stages, [row for row in rows if row.system != tables.SYSTEM])
    return first, again


def _evaluated(folder: Path, stages: dict[str, float], known: Sequence[Row]) -> tuple[Whole, list[Row]]:
    start, cpu = time.perf_counter(), time.process_time()
    found = evaluation.evaluate(
        folder / "synthetic", folder / "cases", folder / "out", split=folder / "split.json",
        known=evaluation.Known(rows=known),
    )  # fmt: skip
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    stages[JUDGING] = seconds - sum(stages.values())
    volumes = len({(r.case, r.contrast) for r in found.rows})
    return Whole(volumes, dict(stages), seconds, cpu, peak_memory()), found.rows


def _timed(untimed: Callable[..., Any], stage: str, seconds: dict[str, float]) -> Callable[..., Any]:
    def timed(*args: Any, **settings: Any) -> Any:
        start = time.perf_counter()
        try:
            return untimed(*args, **settings)
        finally:
            seconds[stage] += time.perf_counter() - start

    return timed


def parts(folder: Path, repeats: int) -> tuple[dict[str, float], float]:
    """CPU seconds for one volume, of each measure in all regions, each protocol and the figures of the report; and the
    seconds that truth and image alone would take to come from memory."""
    cases = {case.id: case for case in find_cases(folder / "cases")}
    (contrast, *_), real = WANT, load(cases["Phantom_A0"])
    fitted = controls.fit([cases[f"Phantom_B{i}"] for i in range(FITTED)], [contrast])
    against = reference(real, contrast, fitted.niqe.get(contrast))
    image = read_prediction(folder / "synthetic" / "Phantom_A0" / f"Phantom_A0_{slug(contrast)}_synth.nii.gz", real)
    work: dict[str, Callable[[], Any]] = {
        **{name: partial(_everywhere, metric, against, image) for name, metric in METRICS.items()},
        **{f"protocol {name}": partial(one.judge, against, image) for name, one in PROTOCOLS.items()},
        "spectra and histogram": partial(looks.look, "one", against, image),
    }
    with one_blas_thread():  # as `evaluate` does
        return {name: _cpu(of, repeats) for name, of in work.items()}, 2 * image.nbytes / _bandwidth(repeats)


def _everywhere(metric: Metric, against: Reference, image: Array) -> None:
    pair = Pair(against.truth, image, against.data_range, against.brain, against.niqe)
    for mask in against.regions.values():
        metric.of(pair, mask)


def _cpu(of: Callable[[], Any], repeats: int) -> float:
    """The median of so many calls after the first, which imports; CPU time, for others may use the machine."""
    of()
    found = []
    for _ in range(repeats):
        start = time.process_time()
        of()
        found.append(time.process_time() - start)
    return statistics.median(found)


def _bandwidth(repeats: int) -> float:
    """Bytes that one thread reads from memory in a second."""
    block = np.ones(50_000_000 if repeats > 1 else 500_000)
    return block.nbytes / max(_cpu(block.sum, repeats), 1e-9)


def report(both: tuple[Whole, Whole], single: dict[str, float], floor: float) -> str:
    """Two Markdown tables: the whole by stages, and one volume by measures."""
    stages = sorted(both[0].stages, key=lambda stage: -both[0].stages[stage])
    rows = [[f"{stage}, s", *(f"{one.stages[stage]:.1f}" for one in both)] for stage in stages]
    rows += [
        ["the whole, s", *(f"**{one.seconds:.1f}**" for one in both)],
        ["CPU time of all threads, s", *(f"{one.cpu:.1f}" for one in both)],
        ["resident memory at most, GB", *(f"{one.peak:.2f}" for one in both)],
    ]
    costs = [[name, f"{seconds:.3f}", f"{seconds / floor:.0f}"] for name, seconds in single.items()]
    costs.append(["floor: reading truth and image from memory", f"{floor:.4f}", "1"])
    return "\n".join(
        (table([f"evaluate, {both[0].volumes} volumes", "and 3 controls of each", "controls known"], rows),
         table(["one volume, one thread", "CPU s", "times the floor"], costs))
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=7, help="three volumes each")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="two cases of a small phantom: shows that it works")
    a = parser.parse_args()
    cases, repeats = (2, 1) if a.quick else (a.cases, a.repeats)
    print(machine())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with fresh(keeps_memory=False) as process:
            process.submit(prepare, folder, cases, a.quick).result()
        with fresh(keeps_memory=False) as process:
            found = process.submit(whole, folder).result()
        with fresh(keeps_memory=False) as process:
            single, floor = process.submit(parts, folder, repeats).result()
    print(report(found, single, floor))


if __name__ == "__main__":
    main()
