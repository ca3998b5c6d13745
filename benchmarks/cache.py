"""Does a cohort of 285 BraTS cases train in 16 GB? Cache entries of real size, random samples, memory.

One phantom on the BraTS grid is read and cached like any case; the other entries are copies of it through the cache's
own writer, each its own files on disk. Then samples are drawn in training order, first with nothing of the cohort in
the system's page cache, and two training steps are taken. What the page cache holds is not counted as memory: the
system gives it up when it is needed.
"""

import argparse
import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from common import QUICK_RECIPE, fresh, machine, prepared, table, trainer
from polycontrast.data import cache, phantom
from polycontrast.data.cache import Entry
from polycontrast.data.dataset import SliceDataset
from polycontrast.io.files import read_json
from polycontrast.io.layout import find_cases
from polycontrast.recipes import recipe as recipe_of
from polycontrast.workflows.costs import peak_memory

SPARE = 2e9  # bytes to leave free on the disk


@dataclass(frozen=True)
class Drawn:
    """Samples per second and the memory of the process that drew them, GB."""

    rate: float
    anonymous: float
    peak: float


def first_entry(folder: Path, quick: bool) -> tuple[Path, float]:
    """Make one phantom and cache it; the entry's folder and the seconds that reading and caching took."""
    made = phantom.make(0, (64, 64, 48), 3.5) if quick else phantom.make(0)
    phantom.write_case(made, folder / "cases", "Phantom_00000")
    cases = find_cases(folder / "cases")
    start = time.perf_counter()
    (entry,) = cache.cached(cases, recipe_of("tcmgan").data.contrasts, folder / "cache")
    return entry.folder, time.perf_counter() - start


def copy_entry(folder: Path, count: int) -> int:
    """Fill the cache up to so many entries; bytes on disk, of which none stays in the page cache."""
    meta = read_json(folder / "meta.json")
    arrays = {file.stem: np.load(file) for file in folder.glob("*.npy")}
    need = count * sum(a.nbytes for a in arrays.values()) + SPARE
    free = shutil.disk_usage(folder).free
    if free < need:
        raise SystemExit(f"{count} entries need {need / 1e9:.1f} GB of disk, {free / 1e9:.1f} GB are free")
    for i in range(1, count):
        cache._write(folder.with_name(f"Copy_{i:05d}"), arrays, {**meta, "id": f"Copy_{i:05d}"})
    files = [file for file in folder.parent.rglob("*") if file.is_file()]
    os.sync()
    for file in files:
        _forget(file)
    return sum(file.stat().st_size for file in files)


def draw(folder: Path, recipe: str, samples: int) -> Drawn:
    """Samples in training order, read in batches as the loop reads them."""
    chosen = recipe_of(recipe)
    batches = SliceDataset(_entries(folder), chosen.data).batches(0, chosen.train.batch)
    next(batches)  # starts the reader
    start, anonymous, count = time.perf_counter(), 0.0, 0
    while count < samples:
        count += len(next(batches).index)
        anonymous = max(anonymous, _anonymous())
    return Drawn(count / (time.perf_counter() - start), anonymous, peak_memory())


def train(folder: Path, recipe: str, steps: int = 2) -> float:
    """Peak memory, GB, of a process that reads the cohort and takes training steps at the recipe's own batch."""
    made = prepared(recipe, recipe_of(recipe).train.batch)
    stepped, _ = trainer(made)
    for batch in islice(SliceDataset(_entries(folder), made.data).batches(0, made.train.batch), steps):
        stepped.step(batch)
    return peak_memory()


def _anonymous() -> float:
    """GB that are this process's own, on Linux; elsewhere the most that was resident."""
    status = Path("/proc/self/status")
    if not status.exists():
        return peak_memory()
    values = dict(line.split(":", 1) for line in status.read_text(encoding="utf-8", errors="replace").splitlines())
    return int(values["RssAnon"].split()[0]) * 1024 / 1e9


def _entries(folder: Path) -> list[Entry]:
    return [cache._load(entry) for entry in sorted(folder.iterdir())]


def _forget(file: Path) -> None:
    """Ask the system to drop what it keeps of a file in memory, where it can be asked."""
    if hasattr(os, "posix_fadvise"):
        handle = os.open(file, os.O_RDONLY)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)


def report(folder: Path, recipe: str, cases: int, samples: int, quick: bool) -> str:
    """A Markdown table of everything, each part in a fresh process; the folder holds the entries afterwards."""
    with fresh(keeps_memory=False) as process:
        entry, seconds = process.submit(first_entry, folder, quick).result()
        size = process.submit(copy_entry, entry, cases).result()
    rows = [
        [f"{cases} cases on disk, GB", f"{size / 1e9:.2f}"],
        ["one case read, normalised and cached, s", f"{seconds:.2f}"],
    ]
    for state in ("none of it", "what was drawn before"):
        with fresh(keeps_memory=True) as process:
            drawn = process.submit(draw, entry.parent, recipe, samples).result()
        title = f"{samples} samples, {state} in the page cache"
        rows += [
            [f"{title}: samples per second", f"{drawn.rate:.0f}"],
            [f"{title}: anonymous memory at most, GB", f"{drawn.anonymous:.2f}"],
            [f"{title}: resident memory at most, GB", f"{drawn.peak:.2f}"],
        ]
    with fresh(keeps_memory=True) as process:
        peak = process.submit(train, entry.parent, recipe).result()
    title = f"training on it, batch {recipe_of(recipe).train.batch}"
    return table([recipe, "measured"], [*rows, [f"{title}: resident memory at most, GB", f"{peak:.2f}"]])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=285)
    parser.add_argument("--samples", type=int, default=4000)
    parser.add_argument("--recipe", default="tcmgan")
    parser.add_argument("--folder", type=Path, default=Path(), help="on a disk; about 35 MB a case")
    parser.add_argument("--quick", action="store_true", help="three tiny cases: shows that it works")
    a = parser.parse_args()
    recipe, cases, samples = (QUICK_RECIPE, 3, 20) if a.quick else (a.recipe, a.cases, a.samples)
    print(machine())
    with tempfile.TemporaryDirectory(prefix="cache-benchmark-", dir=a.folder) as folder:
        print(report(Path(folder).resolve(), recipe, cases, samples, a.quick))


if __name__ == "__main__":
    main()
