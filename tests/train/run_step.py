"""Single steps in float64: run_step.py RECIPE.json COHORT CACHE OUT, alone or as one of the ranks of a group.

Writes OUT: {"<generator's rate> <the segmenter's statistics>": {"gradients", "weights", "terms"}} of one step from the
first weights. statistics: "running" or "batch", what the segmenter's norms use. A rate of 0 leaves the gradients of all
turns at the same weights.
"""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from polycontrast import recipes
from polycontrast.data.batches import Batch
from polycontrast.data.cache import cached
from polycontrast.data.dataset import SliceDataset
from polycontrast.io.files import read_json
from polycontrast.io.layout import find_cases
from polycontrast.recipes import Recipe
from polycontrast.systems.base import OptimiserConfig
from polycontrast.train import distributed
from polycontrast.train.distributed import Ranks
from polycontrast.train.loop import Trainer

CPU = torch.device("cpu")


def with_rate(recipe: Recipe, rate: float) -> Recipe:
    adam = OptimiserConfig(((0.0, rate),))
    system = replace(recipe.system, pretrain=0.0, generator=adam, discriminator=adam, segmenter=adam)
    return replace(recipe, system=system)


def step(recipe: Recipe, batch: Batch, ranks: Ranks, statistics: str) -> dict[str, Any]:
    trainer = Trainer(recipe, CPU, ranks)
    players = trainer.system.players
    for network in players.values():
        network.double()
    players["segmenter"].train(statistics == "batch")
    terms = trainer.step(replace(batch, images=batch.images.double()))
    parameters = {f"{p}.{k}": v for p, network in players.items() for k, v in network.named_parameters()}
    return {
        "gradients": {name: p.grad for name, p in parameters.items()},
        "weights": {name: p.detach() for name, p in parameters.items()},
        "terms": terms,
    }


def main(recipe_file: str, cohort: str, cache: str, out: str) -> None:
    recipe = recipes.from_json(read_json(Path(recipe_file)))
    dataset = SliceDataset(cached(find_cases(cohort), recipe.data.contrasts, Path(cache)), recipe.data)
    ranks = distributed.start(CPU)
    batch = next(dataset.batches(0, recipe.train.batch, ranks.rank, ranks.world))
    found = {
        f"{rate} {statistics}": step(with_rate(recipe, rate), batch, ranks, statistics)
        for rate, statistics in ((0.0, "running"), (1e-3, "running"), (0.0, "batch"))
    }
    if ranks.first:
        torch.save(found, out)
    distributed.barrier(ranks)  # or one rank takes the group down while the other still writes
    distributed.finish()


if __name__ == "__main__":
    main(*sys.argv[1:])
