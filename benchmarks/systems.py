"""Images per second of a training step of every system, in the size that two CPU cores can train.

The systems take turns, a block of fifteen steps each, so that whatever else the machine does falls on all alike;
fifteen holds whole rounds of StarGAN's five critic steps and DiscoGAN's three. Data are phantoms, read as in training.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch

from common import PATIENTS, SHAPE, SPACING, machine, table
from polycontrast import recipes
from polycontrast.contrasts import DEFAULT
from polycontrast.data import open_dataset, phantom
from polycontrast.data.batches import Batch
from polycontrast.data.cache import Entry, cached
from polycontrast.device import keep_memory
from polycontrast.io.layout import find_cases
from polycontrast.systems import SYSTEMS
from polycontrast.train.distributed import Ranks
from polycontrast.train.loop import Trainer

STEPS = 15


def prepared(name: str, entries: list[Entry], batch: int | None) -> tuple[Trainer, Iterator[Batch]]:
    """A trainer at the beginning of its last phase, and its batches."""
    recipe = recipes.recipe(f"{name}_small")
    train = replace(recipe.train, images=10**6, batch=batch or recipe.train.batch)
    trainer = Trainer(replace(recipe, train=train), torch.device("cpu"), Ranks())
    trainer.clock.images = sum(phase.images for phase in trainer.phases[:-1])
    dataset = open_dataset(recipe.data, entries, 0, train.batch)
    return trainer, dataset.batches(0, train.batch, ahead=0)


def seconds(trainer: Trainer, batches: Iterator[Batch], steps: int) -> float:
    started = time.perf_counter()
    for _ in range(steps):
        trainer.step(next(batches))
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="blocks of fifteen steps of each system")
    parser.add_argument("--systems", default=",".join(SYSTEMS))
    parser.add_argument("--quick", action="store_true", help="one step of one image of the cheapest systems")
    chosen = parser.parse_args()
    keep_memory()
    print(machine())
    names = ["unet", "discogan"] if chosen.quick else chosen.systems.split(",")
    rounds, steps = (1, 1) if chosen.quick else (chosen.rounds, STEPS)
    with tempfile.TemporaryDirectory() as folder:
        phantom.write_cohort(Path(folder) / "cases", PATIENTS, shape=SHAPE, spacing=SPACING)
        entries = cached(find_cases(Path(folder) / "cases"), DEFAULT, Path(folder) / "cache")
        systems = {name: prepared(name, entries, 2 if chosen.quick else None) for name in names}
        for one in systems.values():
            seconds(*one, 1)  # the first is slower
        took = {name: [] for name in names}
        for _ in range(rounds):
            for name, one in systems.items():
                took[name].append(seconds(*one, steps) / steps)
    rows = []
    for name, (trainer, _) in systems.items():
        step, batch = statistics.median(took[name]), trainer.recipe.train.batch
        weights = sum(p.numel() for network in trainer.system.players.values() for p in network.parameters())
        rows.append((name, f"{batch}", f"{step:.3f}", f"{batch / step:.1f}", f"{weights / 1e6:.1f}"))
    print(table(("system", "batch", "s per step", "images/s", "parameters of all players, M"), rows))


if __name__ == "__main__":
    main()
