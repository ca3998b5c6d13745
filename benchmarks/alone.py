"""any2any's slabs on a CPU in float32: batches by all threads, or each by one thread, without and with NNPACK.

Synthesis does the last. The network alone, untrained, on slabs of a cropped brain; the ways take turns. The second
table is the convolution of the network's first level, in one thread. "Farthest": the largest difference from the first
way, where the results' standard deviation is 1 (the convolution) or about 1 (the network).
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from common import counter, machine, table
from polycontrast import recipes
from polycontrast.device import keep_memory
from polycontrast.infer.workers import each_alone
from polycontrast.nets.slab_unet import SlabUnet
from polycontrast.nets.winograd import WinogradConv
from polycontrast.systems import build

TOGETHER = 4  # slabs of a batch
Way = Callable[[Tensor], Tensor]


def ways(network: torch.nn.Module, last: torch.nn.Module | None = None) -> dict[str, Way]:
    """Names and functions from a batch of inputs to one of outputs; last: the same network, channels-last."""
    compute = torch.inference_mode()(network)

    def batches(x: Tensor) -> Tensor:
        return torch.cat([torch.inference_mode()(last or network)(part) for part in x.split(TOGETHER)])

    def alone(x: Tensor) -> Tensor:
        return torch.cat(each_alone(compute, x.split(1)))

    def direct(x: Tensor) -> Tensor:
        with torch.backends.nnpack.flags(enabled=False):
            return alone(x)

    first = {"batches of four, channels-last, by all threads": batches} if last is not None else {}
    return {**first, "each by one thread": direct, "each by one thread, 3x3 convolutions by NNPACK": alone}


def report(title: str, ways: dict[str, Way], x: Tensor, work: float, rounds: int) -> str:
    """A row for each way: ms of one input, times the first, GFLOP/s, the farthest from the first's results."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    results: dict[str, Tensor] = {}
    for number in range(rounds + 1):
        for name, way in ways.items():
            start = time.perf_counter()
            results[name] = way(x)
            if number:  # the first warms up
                seconds[name].append((time.perf_counter() - start) / len(x))
    first = next(iter(ways))
    rows = []
    for name, found in seconds.items():
        median = statistics.median(found)
        ratio = statistics.median(a / b for a, b in zip(seconds[first], found, strict=True))
        far = float((results[name] - results[first]).abs().max())
        rows.append([name, f"{1000 * median:.1f}", f"{ratio:.2f}", f"{work / median / 1e9:.0f}", f"{far:.0e}"])
    return table([title, "ms", "times as fast", "GFLOP/s", "farthest"], rows)


def operations(network: torch.nn.Module, x: Tensor) -> float:
    """Of one input, by direct convolution."""
    with torch.no_grad(), counter() as counted:
        network(x[:1])
    return counted.get_total_flops()


def networks(recipe: str) -> tuple[SlabUnet, SlabUnet]:
    """The generator twice with the same weights, contiguous and channels-last."""
    chosen = recipes.recipe(recipe)
    both = []
    for layout in (torch.contiguous_format, torch.channels_last):
        torch.manual_seed(0)
        network = build(chosen.system, chosen.data).players["generator"]
        assert isinstance(network, SlabUnet)
        torch.nn.init.kaiming_normal_(network.last.weight)
        both.append(network.eval().to(memory_format=layout))  # type: ignore[call-overload]
    return both[0], both[1]


def main() -> None:
    """Both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slabs", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a small network, once: shows that it works")
    a = parser.parse_args()
    keep_memory()
    print(machine())
    edges, slabs, rounds = ((32, 32), 2, 1) if a.quick else ((160, 192), a.slabs, a.rounds)
    network, last = networks("any2any_small" if a.quick else "any2any")
    x = torch.randn(slabs, network.stem.in_channels // 4, *edges)
    work = operations(network, x)
    print(report(f"a slab of {edges[0]} x {edges[1]}", ways(network, last), x, work, rounds))
    threads, width = torch.get_num_threads(), network.stem.out_channels
    torch.set_num_threads(1)
    conv, y = WinogradConv(width, width), torch.randn(slabs, width, edges[0] // 2, edges[1] // 2)
    torch.nn.init.normal_(conv.weight, 0, (9 * width) ** -0.5)
    title = f"a convolution, {width} channels, {edges[0] // 2} x {edges[1] // 2}, one thread"
    print(report(title, ways(conv), y, operations(torch.nn.Conv2d(width, width, 3, padding=1), y), rounds))
    torch.set_num_threads(threads)


if __name__ == "__main__":
    main()
