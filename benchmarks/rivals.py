"""any2any's one pass against three passes of pix2pix's unet_256 and of StarGAN's generator: the seconds of one volume.

A volume of 155 axial slices, 140 of them with brain, from T2 to three contrasts. Networks alone, untrained (speed does
not depend on weights), taking turns batch by batch; a volume's time is the median of a batch's by the number of
batches. any2any runs as synthesis runs it, in float32 one slab in each thread (`infer.workers`). "Equal": the 140
slices at the same edges and precision for all; unet_256 halves eight times and takes nothing smaller than 256 x 256, so
that a crop to the brain (160 x 192) does not help it. "As used": each as its own code runs it: any2any on the brain's
crop in the fastest precision (all of its slices, though synthesis leaves some out), the others on all 155 slices of
256 x 256 in float32. Operations, ceiling and floor are those of direct convolutions: any2any's in float32 are NNPACK's,
which do with fewer, and may pass them.
"""

import argparse
import math
import statistics
import time
from dataclasses import dataclass

import torch
from torch import Tensor, nn

import ceiling
from common import counter, fresh, machine, table
from polycontrast import recipes
from polycontrast.infer.workers import each_alone
from polycontrast.nets.residual_generator import ResidualGenerator
from polycontrast.nets.skip_generator import SkipGenerator
from polycontrast.nets.slab_unet import SlabUnet
from polycontrast.systems import build

BRAIN, ALL, TARGETS = 140, 155, 3
CROP, FRAME = (160, 192), (256, 256)


@dataclass(frozen=True)
class Rival:
    """A network, how many slices one pass makes, how many passes three contrasts take; alone: each by a thread."""

    name: str
    network: nn.Module
    inputs: int
    slices: int
    passes: int
    layout: torch.memory_format
    alone: bool = False


@dataclass(frozen=True)
class Run:
    """One row: who, on how many slices of which edges, in which precision."""

    rival: Rival
    number: int
    size: tuple[int, int]
    bfloat16: bool


def rivals(half: bool) -> tuple[Rival, Rival, Rival]:
    """any2any for bfloat16 (half) or float32, unet_256, StarGAN's generator with four labels, evaluating."""
    recipe = recipes.recipe("any2any")
    system = build(recipe.system, recipe.data)
    own = system.players["generator"]
    assert isinstance(own, SlabUnet)
    contiguous = torch.contiguous_format
    layout = torch.channels_last if half else contiguous
    inputs, made = own.stem.in_channels // 4, getattr(recipe.data, "made", 1)
    return (
        Rival("any2any, one pass", own.eval().to(memory_format=layout), inputs, made, 1, layout, not half),  # type: ignore[call-overload]
        Rival("unet_256, three passes", SkipGenerator(1, 1, 8, 64, norm="batch").eval(), 1, 1, TARGETS, contiguous),
        Rival(
            "StarGAN, three passes", ResidualGenerator(5, 1, 6, 64, style="stargan").eval(), 5, 1, TARGETS, contiguous
        ),
    )


def timed(runs: list[Run], rounds: int, slices: int) -> list[list[float]]:
    """Seconds of a volume for each run, once a round; runs take turns."""
    inputs = [_input(run, slices) for run in runs]
    seconds: list[list[float]] = [[] for _ in runs]
    for number in range(rounds + 1):
        for run, x, found in zip(runs, inputs, seconds, strict=True):
            start = time.perf_counter()
            _pass(run, x)
            if number:  # the first warms up
                passes = run.rival.passes * math.ceil(run.number / run.rival.slices) / len(x)
                found.append((time.perf_counter() - start) * passes)
    return seconds


def _pass(run: Run, x: Tensor) -> None:
    if run.rival.alone:
        each_alone(torch.inference_mode()(run.rival.network), x.split(1))
        return
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=run.bfloat16):
        run.rival.network(x)


def _input(run: Run, slices: int) -> Tensor:
    batch, threads = max(1, slices // run.rival.slices), torch.get_num_threads()
    if run.rival.alone:  # no thread idle
        batch = math.ceil(batch / threads) * threads
    return torch.randn(batch, run.rival.inputs, *run.size).contiguous(memory_format=run.rival.layout)


def operations(run: Run) -> float:
    """Operations of a volume."""
    x = _input(run, run.rival.slices)[:1]  # one slab, though there be one for each thread
    with torch.no_grad(), counter() as counted:
        run.rival.network(x)
    return counted.get_total_flops() * run.rival.passes * math.ceil(run.number / run.rival.slices)


def main() -> None:
    """The ceiling, then a table for each way of comparing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--float32", action="store_true", help="leave bfloat16 out, on a machine that imitates it")
    parser.add_argument("--quick", action="store_true", help="one round of two slices, float32: shows that it works")
    a = parser.parse_args()
    print(machine())
    with fresh(keeps_memory=True) as process:
        speeds = ceiling.measure(process, 0.0 if a.quick else 0.5)
    print(ceiling.report(speeds))
    best, rounds, slices = ceiling.ceiling(speeds), (1 if a.quick else a.rounds), (2 if a.quick else 8)
    plain = a.float32 or a.quick
    for half in (False,) if plain else (False, True):
        own, unet, star = rivals(half)
        name = "bfloat16" if half else "float32"
        for size in (CROP,) if a.quick else (FRAME, CROP):
            runs = [Run(own, BRAIN, size, half), Run(unet, BRAIN, FRAME, half), Run(star, BRAIN, size, half)]
            title = f"equal: {BRAIN} slices of {size[0]} x {size[1]}, {name}"
            print(report(title, runs, timed(runs, rounds, slices), best))
    fast = not plain
    used = [Run(own, BRAIN, CROP, fast), Run(unet, ALL, FRAME, False), Run(star, ALL, FRAME, False)]
    print(report("as used", used, timed(used, rounds, slices), best))


def report(title: str, runs: list[Run], seconds: list[list[float]], best: dict[str, float]) -> str:
    """A row for each run: seconds, times any2any's (the median of the rounds' ratios), GFLOP/s."""
    rows = []
    for run, found in zip(runs, seconds, strict=True):
        ratio = statistics.median(other / own for other, own in zip(found, seconds[0], strict=True))
        median, work = statistics.median(found), operations(run)
        top = best["bfloat16" if run.bfloat16 else "float32"]
        row = [f"{median:.2f}", f"{ratio:.2f}", f"{work / 1e9:.0f}", f"{work / median / 1e9:.0f}"]
        rows.append([run.rival.name, *row, f"{work / median / 1e9 / top:.0%}", f"{work / 1e9 / top:.2f}"])
    header = [title, "s / volume", "times any2any", "GFLOP", "GFLOP/s", "of the ceiling", "floor, s"]
    return table(header, rows)


if __name__ == "__main__":
    main()
