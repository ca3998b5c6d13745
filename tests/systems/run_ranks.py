"""The gradients of every player in float64: run_ranks.py RECIPE.json COHORT CACHE OUT, alone or as one of two ranks.

Writes OUT: {"eval" or "train", the networks' mode: {"<player>.<parameter>": gradient}} of a turn of each player at a
rate of zero, from the first weights.
"""

import sys
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from polycontrast import recipes
from polycontrast.data import open_dataset
from polycontrast.data.batches import Batch
from polycontrast.data.cache import cached
from polycontrast.io.files import read_json
from polycontrast.io.layout import find_cases
from polycontrast.recipes import Recipe
from polycontrast.systems.base import OptimiserConfig, SampleRng, Step
from polycontrast.train import distributed
from polycontrast.train.distributed import Ranks
from polycontrast.train.loop import Trainer

CPU = torch.device("cpu")


def gradients(recipe: Recipe, batch: Batch, ranks: Ranks, training: bool) -> dict[str, Tensor]:
    trainer = Trainer(recipe, CPU, ranks)
    torch.manual_seed(0)  # of every rank alike, as the trainer does: dropout's masks then fall on other samples
    system = trainer.system
    system.optimisers = dict.fromkeys(system.players, OptimiserConfig(((0.0, 0.0),)))
    for network in system.players.values():
        network.double().train(training)
    phase = trainer.phases[-1]
    rng = SampleRng(recipe.train.seed, batch.index, CPU)
    scene = system.draw(batch, Step(phase.name, tuple(system.players)), rng)
    found: dict[str, Tensor] = {}
    for player in system.players:
        trainer._turn(player, scene, 0.0)
        found |= {f"{player}.{k}": v.grad for k, v in system.players[player].named_parameters() if v.grad is not None}
    return found


def main(recipe_file: str, cohort: str, cache: str, out: str) -> None:
    recipe = recipes.from_json(read_json(Path(recipe_file)))
    recipe = replace(recipe, train=replace(recipe.train, batch=4))
    entries = cached(find_cases(Path(cohort)), recipe.data.contrasts, Path(cache))
    sets = recipe.data.labels
    dataset = open_dataset(recipe.data, [entries] * len(sets) if sets else entries, 0, recipe.train.batch)
    ranks = distributed.start(CPU)
    batch = next(dataset.batches(0, recipe.train.batch, ranks.rank, ranks.world))
    batch = batch.map(lambda x: x.double() if x.is_floating_point() else x)
    found = {mode: gradients(recipe, batch, ranks, mode == "train") for mode in ("eval", "train")}
    if ranks.first:
        torch.save(found, out)
    distributed.barrier(ranks)  # or one rank takes the group down while the other still writes
    distributed.finish()


if __name__ == "__main__":
    main(*sys.argv[1:])
