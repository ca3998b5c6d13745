"""Run folders with random weights: geometry, files and refusals do not depend on what a model has learnt."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from polycontrast import config, recipes, runs, systems
from polycontrast.contrasts import DEFAULT
from polycontrast.io.files import write_json
from polycontrast.recipes import Recipe
from polycontrast.train import checkpoint

from . import tiny


def make_run(folder: Path, recipe: Recipe | None = None, seed: int = 0, **changed: Any) -> Path:
    """A complete run folder of an untrained model; `changed` replaces entries of its config.json."""
    recipe = recipe or tiny.recipe()
    system = systems.build(recipe.system, recipe.data)
    rng = np.random.default_rng(seed)
    weights = {
        f"{player}.{name}": torch.from_numpy(rng.normal(0, 0.2, tuple(value.shape)).astype(np.float32))
        for player in system.synthesizers
        for name, value in system.players[player].state_dict().items()
    }
    checkpoint.save(folder, weights, {}, {"images": 0, "updates": 0, "seconds": 0.0})
    units = {name: (0.5 + 0.1 * i, 0.4 - 0.1 * i) for i, name in enumerate(DEFAULT)}
    described = {"polycontrast": "0", "recipe": config.to_dict(recipe), "cases": ["P1"], "slices": 1, "units": units}
    write_json(folder / "config.json", described | changed)
    return folder


def make_set(folder: Path, members: Sequence[Recipe]) -> Path:
    """The folder of a set of such runs, each with weights of its own."""
    for seed, recipe in enumerate(members):
        make_run(folder / recipes.way(recipe), recipe, seed)
    write_json(folder / runs.SET, {"runs": [recipes.way(recipe) for recipe in members]})
    return folder


def in_volume_units(recipe: Recipe) -> Recipe:
    """The recipe with per-volume normalisation and a field of another size."""
    return replace(recipe, data=replace(recipe.data, units="volume", extent=200.0))
