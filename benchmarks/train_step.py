"""Images per second of a TC-MGAN training step: ours against the released order, and what each change is worth.

Each variant lives in its own process, because the allocator's setting is process-wide. They take turns, step by step,
so that whatever else the machine does falls on all alike; only one computes at a time.
"""

import argparse
import statistics
import time
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache

import torch
from torch.utils.flop_counter import FlopCounterMode

import ceiling
import networks
import precision
from common import QUICK_RECIPE, fresh, machine, prepared, random_batch, table, trainer
from polycontrast.data.batches import Batch
from polycontrast.train.loop import Trainer
from released import released_step


@dataclass(frozen=True)
class Variant:
    """One way to compute the same step. fused: Adam, otherwise torch's default on the CPU. tuned: see `prepared`."""

    name: str
    released: bool = False
    fused: bool = False
    tuned: bool = False
    allocator: bool = False


VARIANTS = (
    Variant("released order, float32, default Adam and allocator", released=True),
    Variant("our order of operations"),
    Variant("+ fused Adam", fused=True),
    Variant("+ the recipe's bfloat16 and layouts", fused=True, tuned=True),
    Variant("+ allocator", fused=True, tuned=True, allocator=True),
)


@dataclass(frozen=True)
class Work:
    """Images and operations of one step, and of these those of the gradient penalty, which is never in bfloat16."""

    batch: int
    step: int
    penalty: int

    def floor(self, variant: Variant, best: dict[str, float]) -> float:
        """Seconds of a step in which every operation ran at the ceiling (GFLOP/s)."""
        rest = best["bfloat16" if variant.tuned else "float32"]
        return (self.penalty / best["float32"] + (self.step - self.penalty) / rest) / 1e9


def report(times: dict[Variant, list[float]], works: dict[Variant, Work], title: str, best: dict[str, float]) -> str:
    """A Markdown table of the variants; times are medians, ratios are medians of each round's ratio."""
    first = times[VARIANTS[0]]
    before, rows = first, []
    for variant in VARIANTS:
        own, work = times[variant], works[variant]
        seconds = statistics.median(own)
        speed = [f"{seconds:.3f}", f"{work.batch / seconds:.2f}"]
        ratios = [f"{_ratio(first, own):.2f}", f"{_ratio(before, own):.2f}"]
        floor = [f"{work.floor(variant, best):.3f}", f"{work.floor(variant, best) / seconds:.0%}"]
        flops = [f"{work.step / 1e9:.0f}", f"{work.step / seconds / 1e9:.0f}"]
        rows.append([variant.name, *speed, *ratios, *flops, *floor])
        before = own
    header = [title, "s / step", "images / s", "times released", "this change"]
    return table([*header, "GFLOP / step", "GFLOP / s", "floor, s", "floor / measured"], rows)


def measure(
    process: Executor, recipe: str, batch: int, rounds: int
) -> tuple[dict[Variant, list[float]], dict[Variant, Work]]:
    """Seconds of each round's step and the work of a step, by variant; one round more is run to warm up.

    process: another one, which counts what is not timed.
    """
    with ExitStack() as stack:
        processes = {v: stack.enter_context(fresh(keeps_memory=v.allocator)) for v in VARIANTS}
        steps = {v: processes[v].submit(_operations, v, recipe, batch).result() for v in VARIANTS}
        times: dict[Variant, list[float]] = {v: [] for v in VARIANTS}
        for _ in range(rounds + 1):
            for variant in VARIANTS:
                times[variant].append(processes[variant].submit(_seconds, variant, recipe, batch).result())
    penalty = process.submit(networks.penalty_flops, recipe, batch).result()
    return {v: own[1:] for v, own in times.items()}, {v: Work(batch, step, penalty) for v, step in steps.items()}


def agreement(process: Executor, recipe: str, batch: int) -> str:
    """A Markdown table of the first step's terms, computed in the released order and in ours from the same weights,
    batch and draws; then once more at rate 0, where the order of updates cannot matter.
    """
    pairs, still = (process.submit(first_terms, recipe, batch, rate).result() for rate in (None, 0.0))
    rows = []
    for name, (theirs, ours) in pairs.items():
        values = [f"{theirs:.6g}", f"{ours:.6g}", f"{difference(theirs, ours):.1e}", f"{difference(*still[name]):.1e}"]
        rows.append([name, *values])
    note = "In the released order `s_fake` (and so `s_loss`) sees the generator after its update, in ours before it.\n"
    return table(["first step, float32", "released order", "ours", "difference", "at rate 0"], rows) + "\n" + note


def first_terms(recipe: str, batch: int, rate: float | None) -> dict[str, tuple[float, float]]:
    """Every logged term of the first step: (released order, ours)."""
    chosen = prepared(recipe, batch, tuned=False, rate=rate)
    drawn = random_batch(chosen.data, batch)
    theirs, ours = released_step(trainer(chosen)[0], drawn), trainer(chosen)[0].step(drawn)
    return {name: (theirs[name], value) for name, value in ours.items()}


def difference(a: float, b: float) -> float:
    """Relative to the larger of the two."""
    return abs(a - b) / max(abs(a), abs(b), 1e-12)


@cache
def _stage(variant: Variant, recipe: str, batch: int) -> tuple[Trainer, Batch]:
    """The variant's trainer, kept by its process from step to step."""
    made, system = trainer(prepared(recipe, batch, tuned=variant.tuned))
    if not variant.fused:
        for player, settings in system.optimisers.items():
            made.optimisers[player] = torch.optim.Adam(
                system.players[player].parameters(),
                settings.rate(0.0),
                settings.betas,
                weight_decay=settings.weight_decay,
            )
    return made, random_batch(system.data, batch)


def _step(variant: Variant, recipe: str, batch: int) -> None:
    made, drawn = _stage(variant, recipe, batch)
    released_step(made, drawn) if variant.released else made.step(drawn)


def _seconds(variant: Variant, recipe: str, batch: int) -> float:
    _stage(variant, recipe, batch)
    start = time.perf_counter()
    _step(variant, recipe, batch)
    return time.perf_counter() - start


def _operations(variant: Variant, recipe: str, batch: int) -> int:
    _stage(variant, recipe, batch)
    with FlopCounterMode(display=False) as counter:
        _step(variant, recipe, batch)
    return int(counter.get_total_flops())


def _ratio(slow: list[float], fast: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(slow, fast, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", default="tcmgan")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--quick", action="store_true", help="a tiny system, one round: shows that it works")
    a = parser.parse_args()
    recipe, batch, rounds = (QUICK_RECIPE, 2, 1) if a.quick else (a.recipe, a.batch, a.rounds)
    print(machine())
    with fresh(keeps_memory=True) as process:
        speeds = ceiling.measure(process, 0.0 if a.quick else 0.5)
        print(ceiling.report(speeds))
        times, works = measure(process, recipe, batch, rounds)
        print(report(times, works, f"{recipe}, batch {batch}", ceiling.ceiling(speeds)))
        print(agreement(process, recipe, min(batch, 4)))
        print(networks.report(process, recipe, batch, min(rounds, 4)))
        print(precision.report(process, recipe, min(batch, 4), 2 if a.quick else 20))


if __name__ == "__main__":
    main()
