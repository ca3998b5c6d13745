"""One 240 x 240 x 155 volume to three contrasts: seconds by stage, peak memory, GFLOP/s against the ceiling.

A phantom and an untrained model: speed depends on neither. Operations are those of direct convolutions, as is the
ceiling; an algorithm that does with fewer can pass it. Most systems are synthesised in float32; any2any in bfloat16
where the machine has it. Each column is measured in a fresh process, and the program as a user runs it. On a GPU
(--device cuda) no ceiling is measured, and memory is the host's.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor

import ceiling
import polycontrast
from common import QUICK_RECIPE, counter, fresh, machine, resident, table
from polycontrast import config, recipes
from polycontrast.contrasts import slug
from polycontrast.data import phantom
from polycontrast.infer.cohort import run_case
from polycontrast.infer.options import Options
from polycontrast.infer.synthesizer import Synthesizer
from polycontrast.io import formats, nifti
from polycontrast.io.files import write_json
from polycontrast.io.layout import Case, find_cases
from polycontrast.precision import has_bfloat16
from polycontrast.train import checkpoint
from polycontrast.train.distributed import Ranks
from polycontrast.train.loop import Trainer
from polycontrast.workflows.costs import peak_memory

Made = tuple[Tensor, Tensor | None]
Synthesize = Callable[..., Made]
READ, AROUND, NETWORK, WRITE = "read", "normalise, frame and undo", "network", "write"


@dataclass(frozen=True)
class Measured:
    """Seconds by stage, as often as repeated; of the model's loading and of one `run_case`; peak GB; operations."""

    stages: dict[str, list[float]]
    load: float
    whole: float
    peak: float
    operations: int


def prepare(folder: Path, recipe: str, quick: bool) -> None:
    """A phantom in `folder/cases` and a run folder with untrained weights in `folder/run`."""
    made = phantom.make(0, (64, 64, 48), 3.5) if quick else phantom.make(0)
    phantom.write_case(made, folder / "cases", "Phantom_00000")
    chosen = recipes.with_length(recipes.recipe(recipe), 1)
    untrained = Trainer(chosen, torch.device("cpu"), Ranks())
    checkpoint.save(folder / "run", untrained.system.weights(), {}, {"images": 0})
    units = dict.fromkeys(chosen.data.contrasts, (0.5, 0.5))
    described = {
        "polycontrast": polycontrast.__version__,
        "recipe": config.to_dict(chosen),
        "units": units,
        "cases": [],
    }
    write_json(folder / "run" / "config.json", described)


def case_of(folder: Path, synthesizer: Synthesizer) -> Case:
    """The phantom with what the model is usually given."""
    (case,) = find_cases(folder / "cases")
    have = synthesizer.system.usual or synthesizer.have
    return replace(case, contrasts={name: case.contrasts[name] for name in have})


def measure(folder: Path, bfloat16: bool, fast: bool, repeats: int, device: str) -> Measured:
    """Load the model once, then read, synthesise and write the case so often; memory is that of these alone."""
    start = time.perf_counter()
    with mock.patch("polycontrast.infer.synthesizer.has_bfloat16", return_value=bfloat16):
        synthesizer = Synthesizer.load(folder / "run", device, options=Options(fast=fast))
    load = time.perf_counter() - start
    synthesizer.system.bfloat16 = frozenset(synthesizer.system.synthesizers if bfloat16 else ())
    system, calls = synthesizer.system, Calls(synthesizer.device)
    untimed = system.synthesize
    system.synthesize = partial(calls.timed, untimed)  # type: ignore[method-assign]
    case = case_of(folder, synthesizer)
    stages: dict[str, list[float]] = defaultdict(list)
    for _ in range(repeats):
        _once(case, synthesizer, calls, folder / "out", stages)
    peak = peak_memory()
    start = time.perf_counter()
    run_case(case, synthesizer, folder / f"whole-{bfloat16}")
    whole = time.perf_counter() - start
    system.synthesize = partial(calls.counted, untimed)  # type: ignore[method-assign]
    synthesizer({name: formats.read(path) for name, path in case.contrasts.items()})
    return Measured(dict(stages), load, whole, peak, sum(calls.operations))


def processes(folder: Path, fast: bool, repeats: int, device: str) -> str:
    """What `polycontrast synth` of the case takes, so often, each in a process of its own, in the usual precision.

    Memory is the most that was resident, or, if that is more, of this process.
    """
    case = case_of(folder, Synthesizer.load(folder / "run"))
    files = [part for name, path in case.contrasts.items() for part in (f"--{slug(name)}", str(path))]
    options = ["--model", str(folder / "run"), "--device", device, *["--fast"] * fast]
    command = [sys.executable, "-m", "polycontrast", "synth", *files, *options]
    seconds, peaks = [], []
    for i in range(repeats):
        start = time.perf_counter()
        running = subprocess.Popen([*command, "-o", str(folder / f"out-{i}")], stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(running.pid, 0)
        seconds.append(time.perf_counter() - start)
        peaks.append(resident(usage))
        assert status == 0
    return f"`polycontrast synth`, a process of its own: **{statistics.median(seconds):.2f} s**, {max(peaks):.2f} GB"


def report(columns: dict[str, Measured], best: dict[str, float], title: str) -> str:
    """A Markdown table: a column for each precision; best: the ceilings that are known."""
    first = next(iter(columns.values()))
    rows = [[f"{stage}, s", *[f"{_median(m, stage):.2f}" for m in columns.values()]] for stage in first.stages]
    totals = [sum(_median(m, stage) for stage in m.stages) for m in columns.values()]
    starts = [sum(seconds[0] for seconds in m.stages.values()) for m in columns.values()]
    speeds = [m.operations / _median(m, NETWORK) / 1e9 for m in columns.values()]
    rows += [
        ["these together, s", *[f"**{s:.2f}**" for s in totals]],
        ["these together, the first time, s", *[f"{s:.2f}" for s in starts]],
        ["with hashes, flags, mosaic and sidecars (`run_case`), s", *[f"{m.whole:.2f}" for m in columns.values()]],
        ["loading the model, s", *[f"{m.load:.2f}" for m in columns.values()]],
        ["resident memory at most, GB", *[f"{m.peak:.2f}" for m in columns.values()]],
        ["network, GFLOP", *[f"{m.operations / 1e9:.0f}" for m in columns.values()]],
        ["network, GFLOP/s", *[f"{s:.0f}" for s in speeds]],
    ]
    if best:
        rows.append(["of the ceiling", *[f"{s / best[name]:.0%}" for name, s in zip(columns, speeds, strict=True)]])
    return table([title, *columns], rows)


@dataclass
class Calls:
    """What the system's calls took, which may come from several threads at once: (start, end), and operations."""

    device: torch.device = torch.device("cpu")
    spans: list[tuple[float, float]] = field(default_factory=list)
    operations: list[int] = field(default_factory=list)

    def timed(self, synthesize: Synthesize, *call: Any) -> Made:
        start = time.perf_counter()
        made = synthesize(*call)
        if self.device.type == "cuda":  # which returns before it is done
            torch.cuda.synchronize(self.device)
        self.spans.append((start, time.perf_counter()))
        return made

    def counted(self, synthesize: Synthesize, *call: Any) -> Made:
        with counter() as counted:
            made = synthesize(*call)
        self.operations.append(int(counted.get_total_flops()))
        return made

    def seconds(self) -> float:
        """In which at least one of the calls was going on."""
        total, until = 0.0, 0.0
        for start, end in sorted(self.spans):
            total += max(0.0, end - max(start, until))
            until = max(until, end)
        return total


def _once(case: Case, synthesizer: Synthesizer, calls: Calls, out: Path, stages: dict[str, list[float]]) -> None:
    calls.spans.clear()
    start = time.perf_counter()
    given = {name: formats.read(path) for name, path in case.contrasts.items()}
    read = time.perf_counter()
    made = synthesizer(given)
    synthesised = time.perf_counter()
    for name, volume in made.items():
        nifti.write(out / f"{name}.nii.gz", volume.array, volume.geometry)
    written = time.perf_counter()
    stages[READ].append(read - start)
    stages[AROUND].append(synthesised - read - calls.seconds())
    stages[NETWORK].append(calls.seconds())
    stages[WRITE].append(written - synthesised)


def _median(measured: Measured, stage: str) -> float:
    return statistics.median(measured.stages[stage])


def _column(folder: Path, bfloat16: bool, fast: bool, repeats: int, device: str) -> Measured:
    with fresh(keeps_memory=True) as process:
        return process.submit(measure, folder, bfloat16, fast, repeats, device).result()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", default="tcmgan")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--fast", action="store_true", help="as `synth --fast` does it; with --recipe any2any, say")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--quick", action="store_true", help="a tiny phantom and system, once: shows that it works")
    a = parser.parse_args()
    recipe, repeats = (QUICK_RECIPE, 1) if a.quick else (a.recipe, a.repeats)
    print(machine())
    columns, best = {}, {}
    with tempfile.TemporaryDirectory() as name:
        with fresh(keeps_memory=True) as process:
            process.submit(prepare, Path(name), recipe, a.quick).result()
            if a.device == "cpu":
                speeds = ceiling.measure(process, 0.0 if a.quick else 0.5)
                best = ceiling.ceiling(speeds)
                print(ceiling.report(speeds))
        native = a.quick or has_bfloat16(torch.device(a.device))  # one that imitates it takes minutes a volume
        for precision in ("float32", "bfloat16") if native else ("float32",):
            columns[precision] = _column(Path(name), precision == "bfloat16", a.fast, repeats, a.device)
        title = f"{recipe}{' --fast' if a.fast else ''}, one {'small ' if a.quick else ''}phantom"
        print(report(columns, best, title), flush=True)
        print(processes(Path(name), a.fast, repeats, a.device))


if __name__ == "__main__":
    main()
