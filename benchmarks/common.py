"""What the benchmarks share: fresh processes, Markdown tables, the machine in words, a trainer to measure."""

import multiprocessing
import os
import resource
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count

from polycontrast import recipes
from polycontrast.data import phantom
from polycontrast.data.batches import Batch
from polycontrast.data.cache import cached
from polycontrast.data.configs import DataConfig
from polycontrast.data.dataset import SliceDataset
from polycontrast.device import keep_memory
from polycontrast.io.layout import find_cases
from polycontrast.recipes import Recipe
from polycontrast.systems.base import OptimiserConfig
from polycontrast.systems.tcmgan import Tcmgan, TcmganConfig
from polycontrast.train.distributed import Ranks
from polycontrast.train.loop import Trainer
from polycontrast.workflows import costs

QUICK_RECIPE = "tcmgan_demo"
PATIENTS, SHAPE, SPACING = 4, (128, 128, 12), 1.875  # the middle of the brain, about as the paper's pixels show it


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table: the first column as text, the others flush right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def fresh(*, keeps_memory: bool) -> ProcessPoolExecutor:
    """A process of its own for functions submitted one after another: the allocator's settings are process-wide.

    The allocator is glibc's default, whatever this process was started with, or the program's (`keep_memory`).
    """
    for name in [n for n in os.environ if n in ("LD_PRELOAD", "GLIBC_TUNABLES") or n.startswith("MALLOC_")]:
        del os.environ[name]
    spawn = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(1, spawn, initializer=keep_memory if keeps_memory else None)


def counter() -> FlopCounterMode:
    """Counts operations while it is open. NNPACK's convolutions, which do with fewer, count as direct ones."""
    return FlopCounterMode(display=False, custom_mapping={torch.ops.aten._nnpack_spatial_convolution: _convolution})


def _convolution(x: torch.Size, weight: torch.Size, *_: Any, out_shape: torch.Size, **__: Any) -> int:
    return int(conv_flop_count(x, weight, out_shape))  # type: ignore[arg-type]


def machine() -> str:
    """One line: processor, threads, library. What a figure was measured on."""
    load = f"load {os.getloadavg()[0]:.1f} at the start" if hasattr(os, "getloadavg") else ""
    parts = (costs.machine(torch.device("cpu")), torch.backends.cpu.get_cpu_capability(), load)
    return ", ".join(part for part in parts if part) + "\n"


def resident(usage: resource.struct_rusage) -> float:
    """The most that was resident, in GB."""
    return usage.ru_maxrss / 1e9 if sys.platform == "darwin" else usage.ru_maxrss * 1024 / 1e9


def prepared(name: str, batch: int, *, tuned: bool = True, rate: float | None = None) -> Recipe:
    """A recipe ready to be stepped from its full phase on: no pre-training, no end in sight, no averaged weights.

    tuned: bfloat16 and channels-last where the recipe has them; otherwise float32 in the default layout everywhere.
    rate: overrides every player's.
    """
    recipe = recipes.recipe(name)
    system: TcmganConfig = replace(recipe.system, pretrain=0.0)
    if rate is not None:
        still = OptimiserConfig(((0.0, rate),))
        system = replace(system, generator=still, discriminator=still, segmenter=still)
    train = replace(recipe.train, batch=batch, images=2**40, ema=0.0)
    return replace(recipe, system=system, train=train if tuned else replace(train, bfloat16=(), channels_last=()))


def trainer(recipe: Recipe) -> tuple[Trainer, Tcmgan]:
    """The loop's own trainer on the CPU, and its system."""
    made = Trainer(recipe, torch.device("cpu"), Ranks())
    assert isinstance(made.system, Tcmgan)
    return made, made.system


def random_batch(data: DataConfig, size: int) -> Batch:
    """Images of the right shape, uniform in [-1, 1], with a square lesion: speed does not depend on what they show."""
    generator = torch.Generator().manual_seed(0)
    edge = data.size
    images = torch.rand((size, len(data.contrasts), data.slab, edge, edge), generator=generator) * 2 - 1
    mask = torch.ones((size, 1, data.slab, edge, edge), dtype=torch.bool)
    lesion = torch.zeros_like(mask)
    lesion[..., edge // 4 : edge // 2, edge // 4 : edge // 2] = True
    return Batch(images, torch.ones(images.shape[:2], dtype=torch.bool), mask, lesion, tuple(range(size)))


@contextmanager
def phantom_slices(data: DataConfig) -> Iterator[SliceDataset]:
    """Slices of a few phantoms, kept in a temporary folder: where it matters that images look like images."""
    with tempfile.TemporaryDirectory() as folder:
        phantom.write_cohort(Path(folder) / "cases", PATIENTS, shape=SHAPE, spacing=SPACING)
        entries = cached(find_cases(Path(folder) / "cases"), data.contrasts, Path(folder) / "cache")
        yield SliceDataset(entries, data)
