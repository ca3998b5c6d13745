"""The main job on phantoms, from nothing: make patients, synthesise one from its T2 with the shipped model, judge it.

With a recipe a model is trained on the other phantoms first.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from polycontrast import pictures
from polycontrast.data import phantom
from polycontrast.errors import UserError
from polycontrast.infer.cohort import run_cohort, volume_file
from polycontrast.infer.options import Options
from polycontrast.infer.synthesizer import Synthesizer
from polycontrast.io.layout import Case
from polycontrast.metrics import reference
from polycontrast.metrics.evaluate import JUDGED, evaluate
from polycontrast.metrics.measures import require_packages
from polycontrast.metrics.protocols import POLYCONTRAST
from polycontrast.metrics.tables import Row
from polycontrast.recipes import Recipe
from polycontrast.runs import SHIPPED
from polycontrast.train.loop import train
from polycontrast.workflows.cohort import cached_cases, cases_of

SHAPE, SPACING = (120, 120, 78), 2.0  # a whole head at 2 mm
SEED = 20  # of the first phantom: the shipped model has seen those of 0 to 11
HAVE, WANT = "T2", ("FLAIR", "T1ce", "T1")


def demo(
    out: Path,
    *,
    recipe: Recipe | None = None,
    patients: int = 4,
    device: torch.device | None = None,
    command: str = "",
    tell: Callable[[str], None] = print,
    progress: bool = True,
) -> Path:
    """Fill the folder `out` with phantoms, synthetic volumes of the unseen ones and a table; returns `out`.

    recipe: what is trained on the other phantoms, into a run; the shipped model is used if None. command: told in the
    report. Raises UserError if `out` holds something else already: nothing is overwritten.
    """
    if out.is_file() or (out.exists() and any(out.iterdir())):
        raise UserError("not an empty folder", hint="remove it, or choose another -o", path=out)
    require_packages()
    started = time.perf_counter()
    tell(f"making {patients} phantom patients")
    phantoms = phantom.write_cohort(out / "phantoms", patients, seed=SEED, shape=SHAPE, spacing=SPACING)
    split = phantoms / "split.json"
    synthesizer = _model(phantoms, split, recipe, out, device, tell, progress)
    tell(f"synthesising {', '.join(WANT)} of the unseen ones from their {HAVE}")
    unseen = cases_of(phantoms, split, "test")
    given = [replace(case, contrasts={HAVE: case.contrasts[HAVE]}) for case in unseen]
    done, failed = run_cohort(given, synthesizer, out / "synthetic", WANT)
    if failed:
        raise failed[0][1]
    tell("judging them beside the controls")
    protocols = (POLYCONTRAST.name,) if recipe is None else JUDGED  # another name's figure would take as long again
    result = evaluate(
        out / "synthetic", phantoms, out / "evaluation", split=split, protocols=protocols, command=command
    )
    tell(_table(result.rows))
    _figure(out / "figure.png", unseen[0], done[0].folder)
    tell(f"finished in {time.perf_counter() - started:.0f} s. What there is now:")
    for path, what in (
        (out / "figure.png", "an unseen phantom: its T2, and each contrast as synthesised and as it is"),
        (phantoms, "the phantom patients and split.json, their roles"),
        (out / "run", "the run: config.json, metrics.jsonl, progress.png, preview/, checkpoint/"),
        (done[0].folder, "synthetic volumes (NIfTI), a sidecar each, confidence maps if any, and a picture"),
        (out / "evaluation", "report.html to open; cases.csv, summary.json, summary.md and mosaics beside the truth"),
    ):
        if path.exists():
            tell(f"  {path}\n      {what}")
    return out


def _model(
    phantoms: Path,
    split: Path,
    recipe: Recipe | None,
    out: Path,
    device: torch.device | None,
    tell: Callable[[str], None],
    progress: bool,
) -> Synthesizer:
    """The shipped model, with `--fast`; or one trained on the phantoms."""
    if recipe is None:
        return Synthesizer.load(SHIPPED, device, Options(fast=True))
    entries = cached_cases(phantoms, split, recipe.train.role, recipe.data.contrasts, out / "cache", quiet=True)
    tell(f"training {recipe.name} on {len(entries)} of them")
    return Synthesizer.load(train(recipe, entries, out / "run", device=device, progress=progress), device)


def _table(rows: Sequence[Row]) -> str:
    """Means over the test phantoms, in the brain: the system beside its controls."""
    lines = [f"{'in the brain':>12} {'':12} {'PSNR dB':>8} {'SSIM':>7} {'NMAE':>7}"]
    for contrast in dict.fromkeys(r.contrast for r in rows):
        for system in dict.fromkeys(r.system for r in rows):
            place = contrast, system, POLYCONTRAST.name, "brain"
            values = [r.values for r in rows if (r.contrast, r.system, r.protocol, r.region) == place]
            psnr, ssim, nmae = (np.mean([v[name] for v in values]) for name in ("psnr", "ssim", "nmae"))
            lines.append(f"{contrast:>12} {system:12} {psnr:8.2f} {ssim:7.3f} {nmae:7.3f}")
    return "\n".join(lines)


def _figure(path: Path, case: Case, folder: Path) -> None:
    """Three axial slices through the lesion: the source, then each contrast as synthesised and as it is."""
    real = reference.load(case, HAVE)
    columns = {HAVE: real.images[HAVE]}
    for name in WANT:
        columns[f"{name} synthetic"] = reference.read_prediction(volume_file(folder, case.id, name), real)
        columns[f"{name} real"] = real.images[name]
    middle = pictures.center(real.focus)[2]
    levels = [middle + step for step in (-6, 0, 6)]
    images = np.stack([array[:, :, levels] for array in columns.values()])
    fakes = [label for label in columns if label.endswith("synthetic")]
    title = f"{case.id}, which the model has not seen"
    rows = [f"slice {level}" for level in levels]
    pictures.preview(path, images.transpose(3, 0, 1, 2), rows, list(columns), title, synthetic=fakes)
