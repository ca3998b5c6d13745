"""Run folders with random weights: geometry, files and refusals do not depend on what a model has learnt."""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from polycontrast import config, recipes, runs, systems
from polycontrast.contrasts import DEFAULT
from polycontrast.data.configs import DataConfig
from polycontrast.io.files import write_json
from polycontrast.recipes import Recipe
from polycontrast.systems.any2any import Any2anyConfig
from polycontrast.train import checkpoint
from polycontrast.workflows.ship import ship

from . import tiny

LEVELS = {"50": 0.7, "80": 1.6, "95": 3.0}


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


def any_subset() -> Recipe:
    """any2any, which takes any subset of the four contrasts and tells its confidence, in a few thousand weights."""
    system = Any2anyConfig(widths=(12, 16), blocks=(1, 1))
    data = DataConfig(size=32, min_area=2000.0, units="volume", slab=4, made=2, cropped=True, centred=True)
    return Recipe("any_subset", system, data, tiny.recipe().train)


def confidence(recipe: Recipe) -> dict[str, dict[str, float]]:
    """The same intervals for every way of a recipe, as a calibration would leave them in config.json."""
    have, want = recipe.system.have, recipe.system.want
    some = itertools.chain.from_iterable(itertools.combinations(have, n) for n in range(1, len(have)))
    ways = [recipes.way_of(given, (name,)) for given in some for name in want if name not in given]
    return {way: dict(LEVELS) for way in ways}


def make_confident(folder: Path, seed: int = 0) -> Path:
    """The run folder of such a model."""
    return make_run(folder, any_subset(), seed, confidence=confidence(any_subset()))


def make_shipped(folder: Path) -> Path:
    """A folder in the form of the shipped model, to stand for it."""
    return ship(make_confident(folder.with_name(f"{folder.name}_run")), folder)
