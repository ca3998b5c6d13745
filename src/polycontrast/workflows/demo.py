"""The main job on phantoms, from nothing: make patients, train, synthesise an unseen one from its T2, judge it."""

import time
from collections.abc import Callable
from pathlib import Path

import torch

from polycontrast import recipes
from polycontrast.data import phantom
from polycontrast.errors import UserError
from polycontrast.infer.cohort import run_cohort
from polycontrast.infer.synthesizer import Synthesizer
from polycontrast.metrics.evaluate import evaluate
from polycontrast.recipes import Recipe
from polycontrast.train.loop import train
from polycontrast.workflows.cohort import cached_cases, cases_of

SHAPE, SPACING = (120, 120, 78), 2.0  # a whole head at 2 mm


def demo(
    out: Path,
    *,
    recipe: Recipe | None = None,
    patients: int = 10,
    device: torch.device | None = None,
    tell: Callable[[str], None] = print,
    progress: bool = True,
) -> Path:
    """Fill the folder `out` with phantoms, a trained run, synthetic volumes and a table; returns `out`.

    Raises UserError if `out` holds something else already: nothing is overwritten.
    """
    recipe = recipe or recipes.tcmgan_demo()
    if out.is_file() or (out.exists() and any(out.iterdir())):
        raise UserError("not an empty folder", hint="remove it, or choose another -o", path=out)
    started = time.perf_counter()
    tell(f"making {patients} phantom patients")
    phantoms = phantom.write_cohort(out / "phantoms", patients, seed=1, shape=SHAPE, spacing=SPACING)
    split = phantoms / "split.json"
    entries = cached_cases(phantoms, split, recipe.train.role, recipe.data.contrasts, out / "cache", quiet=True)
    tell(f"training {recipe.name} on {len(entries)} of them")
    run = train(recipe, entries, out / "run", device=device, progress=progress)
    tell("synthesising FLAIR, T1ce and T1 of the unseen ones from their T2")
    synthesizer = Synthesizer.load(run, device)
    done, failed = run_cohort(cases_of(phantoms, split, "test"), synthesizer, out / "synthetic")
    if failed:
        raise failed[0][1]
    result = evaluate(out / "synthetic", phantoms, out / "evaluation", split=split)
    tell((out / "evaluation" / "summary.md").read_text(encoding="utf-8"))
    tell(f"finished in {time.perf_counter() - started:.0f} s, {len(result.rows)} figures judged. What there is now:")
    for path, what in (
        (phantoms, "the phantom patients and split.json, their roles"),
        (run, "the run: config.json, metrics.jsonl, progress.png, preview/, checkpoint/"),
        (done[0].folder, "synthetic volumes (NIfTI), a sidecar each, and a picture"),
        (out / "evaluation", "cases.csv, summary.json, summary.md and mosaics beside the truth"),
    ):
        tell(f"  {path}\n      {what}")
    return out
