"""Train a recipe for the contrasts asked for: one run, or a set of runs where the system was made for a single pair."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from polycontrast import recipes, runs
from polycontrast.data import Source, open_dataset
from polycontrast.data.configs import PhotoConfig
from polycontrast.errors import UserError
from polycontrast.io.files import write_json
from polycontrast.recipes import Recipe
from polycontrast.systems import SYSTEMS
from polycontrast.train import distributed, pretrained
from polycontrast.train.loop import train


def train_ways(
    recipe: Recipe,
    source: Callable[[Recipe], Source],
    out: Path,
    *,
    have: Sequence[str] | None = None,
    want: Sequence[str] | None = None,
    device: torch.device | None = None,
    resume: bool = False,
    tensorboard: bool = False,
    progress: bool = True,
) -> Path:
    """Train for these contrasts (None: the recipe's own) and return `out`: a run folder, or one of a set of runs.

    source: what a run trains on, given its recipe. `images` of the recipe is the length of each run. A run for a single
    contrast joins the set that is in `out`, if there is one; runs that are there already stay in it. Raises UserError
    as `with_ways`, `recipes.check`, `pretrained.check` and `train` do, and where a run and a set would lie in one
    folder: then nothing is written.
    """
    found = {name: _with_member(one) for name, one in _placed(recipes.with_ways(recipe, have, want), out).items()}
    for name, one in found.items():
        if not resume:
            runs.check_free(out / name)
        recipes.check(one)
        if (model := one.train.pretrained) is not None and not resume:  # a resumed run may do without the model
            pretrained.check(one)
            if Path(model).resolve() == (out / name).resolve():  # `any2any` would mean this one, once it is begun
                raise UserError(
                    "the run would take the name of the model that it begins with", "choose another -o", out
                )
    sources = {name: source(one) for name, one in found.items()}
    if len(found) > 1:  # what the last one lacks is told before the first is trained
        for name, one in found.items():
            open_dataset(one.data, sources[name], one.train.seed, one.train.batch)
    for name, one in found.items():
        train(one, sources[name], out / name, device=device, resume=resume, tensorboard=tensorboard, progress=progress)
        if name and distributed.start(device or torch.device("cpu")).first:
            write_json(out / runs.SET, {"runs": list(dict.fromkeys((*runs.members(out), name)))})
    return out


def _with_member(recipe: Recipe) -> Recipe:
    """Of a set that a recipe is to begin with, the run that makes the same contrast of the same."""
    model = recipe.train.pretrained
    if model is None or not runs.members(model):
        return recipe
    return replace(recipe, train=replace(recipe.train, pretrained=str(runs.folder_of(model) / recipes.way(recipe))))


def _placed(ways: Mapping[str, Recipe], out: Path) -> Mapping[str, Recipe]:
    """The recipes by the names of their runs, "" for `out` itself; a UserError where they do not fit what is there."""
    a_set = (out / runs.SET).exists() or any(out.glob("*_to_*/config.json"))  # the second: its first run is not done
    if "" in ways and not a_set:
        return ways
    if (out / "config.json").exists():
        raise UserError("there is a single run already", hint="choose another -o for a set of runs", path=out)
    for one in ways.values():
        if isinstance(one.data, PhotoConfig) or len(one.system.want) > 1 or SYSTEMS[one.system.name].any_source:
            hint = "choose another -o; a run that makes one contrast of given ones can join a set"
            raise UserError(f"there is a set of runs, which {one.name} cannot join", hint=hint, path=out)
    named = {recipes.way(one): one for one in ways.values()}
    for name in runs.members(out):
        made = runs.read_config(out / name).recipe.system.want if name not in named else ()
        if double := [c for one in named.values() for c in one.system.want if c in made]:
            raise UserError(f"{name} makes {', '.join(double)} already", hint="choose another -o", path=out)
    return named
