"""The convolution ceiling: the most GFLOP/s that 3 x 3 convolutions reach on this machine, in float32 and bfloat16.

Other benchmarks state their speed as a share of it. Multiplications and additions are counted apart. A machine that
only imitates bfloat16 takes minutes for such a convolution: there, one image of an eighth of the edge is measured.
"""

import argparse
import time
from concurrent.futures import Executor
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from common import fresh, machine, table
from polycontrast.precision import has_bfloat16

SHAPES = ((8, 64, 128), (8, 256, 32))  # batch, channels in and out, edge
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
LAYOUTS = {"NCHW": torch.contiguous_format, "channels-last": torch.channels_last}


@dataclass(frozen=True)
class Speed:
    """What one kind of convolution reached, GFLOP/s."""

    shape: tuple[int, int, int]
    precision: str
    layout: str
    gflops: float


def measure(process: Executor, seconds: float = 0.5) -> list[Speed]:
    """Every shape, precision and layout for about this long, the best time of each, in a process that keeps memory."""
    return process.submit(_measure, seconds).result()


def ceiling(speeds: list[Speed]) -> dict[str, float]:
    """The best GFLOP/s of each precision."""
    return {name: max(s.gflops for s in speeds if s.precision == name) for name in PRECISIONS}


def report(speeds: list[Speed]) -> str:
    """A Markdown table of all that was measured."""
    rows = []
    for batch, channels, edge in SHAPES:
        for precision in PRECISIONS:
            same = [s for s in speeds if s.shape == (batch, channels, edge) and s.precision == precision]
            here = {s.layout: s.gflops for s in same}
            kind = f"{channels} channels, {edge} x {edge}, batch {batch}, {precision}"
            rows.append([kind, *[f"{here[layout]:.0f}" for layout in LAYOUTS]])
    best = [f"{name} **{gflops:.0f}**" for name, gflops in ceiling(speeds).items()]
    return table(["convolution, GFLOP/s", *LAYOUTS], rows) + f"\nceiling, GFLOP/s: {', '.join(best)}\n"


@torch.inference_mode()
def _measure(seconds: float) -> list[Speed]:
    speeds = []
    for batch, channels, edge in SHAPES:
        for precision, dtype in PRECISIONS.items():
            imitated = dtype is torch.bfloat16 and not has_bfloat16(torch.device("cpu"))
            number, side = (1, edge // 8) if imitated else (batch, edge)
            work = 2 * 9 * channels**2 * side**2 * number
            for layout, form in LAYOUTS.items():
                x = torch.randn(number, channels, side, side).to(dtype=dtype, memory_format=form)
                weight = torch.randn(channels, channels, 3, 3).to(dtype=dtype, memory_format=form)
                best = _best(x, weight, seconds)
                speeds.append(Speed((batch, channels, edge), precision, layout, work / best / 1e9))
    return speeds


def _best(x: Tensor, weight: Tensor, seconds: float) -> float:
    """Seconds of the fastest of the convolutions that fit into so many seconds, at least three."""
    times: list[float] = []
    F.conv2d(x, weight, padding=1)
    while sum(times) < seconds or len(times) < 3:
        start = time.perf_counter()
        F.conv2d(x, weight, padding=1)
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few convolutions each: shows that it works")
    arguments = parser.parse_args()
    print(machine())
    with fresh(keeps_memory=True) as process:
        print(report(measure(process, 0.0 if arguments.quick else 2.0)))


if __name__ == "__main__":
    main()
