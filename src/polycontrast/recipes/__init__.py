"""Recipes: functions that return a complete, typed configuration of a run; a file per system.

`RECIPES` lists them by name. A recipe named as its system states what the paper states; `<system>_mr` fits it to MR
volumes; `<system>_small` is what two CPU cores can train. `images` (or `--images`) scales a run, and with it the rate
schedules and phases, which are fractions of it.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch

from polycontrast import systems
from polycontrast.config import from_dict
from polycontrast.contrasts import slug
from polycontrast.data.configs import PhotoConfig
from polycontrast.errors import UserError
from polycontrast.recipes import any2any, cyclegan, dai3d, discogan, pix2pix, stargan, tcmgan, unet, unit
from polycontrast.recipes.base import Recipe, TrainConfig
from polycontrast.systems import SYSTEMS
from polycontrast.systems.any2any import Any2anyConfig

__all__ = [
    "RECIPES",
    "Recipe",
    "TrainConfig",
    "check",
    "from_json",
    "recipe",
    "way",
    "way_of",
    "with_length",
    "with_ways",
]

# A line per system; each file lists its own.
_ALL: tuple[Callable[[], Recipe], ...] = (
    *unet.RECIPES,
    *pix2pix.RECIPES,
    *cyclegan.RECIPES,
    *discogan.RECIPES,
    *unit.RECIPES,
    *stargan.RECIPES,
    *dai3d.RECIPES,
    *tcmgan.RECIPES,
    *any2any.RECIPES,
)  # fmt: skip
RECIPES = {function.__name__: function for function in _ALL}


def recipe(name: str) -> Recipe:
    """The recipe of this name; a UserError lists the known ones."""
    if name not in RECIPES:
        raise UserError(f"no recipe named {name!r}", hint=f"there are: {', '.join(RECIPES)}")
    return RECIPES[name]()


def from_json(values: dict[str, Any]) -> Recipe:
    """A recipe as a run's config.json holds it."""
    return from_dict(Recipe, values, "recipe")


def check(recipe: Recipe) -> None:
    """UserError if the recipe's system cannot be built for its data. Takes neither memory nor random numbers."""
    with torch.device("meta"):
        systems.build(recipe.system, recipe.data)


def with_length(recipe: Recipe, slices: int) -> Recipe:
    """The recipe with `images` settled: as given, or `epochs` passes over this many slices, in whole batches."""
    train = recipe.train
    images = train.images if train.images is not None else round(train.epochs * slices)
    whole = max(1, round(images / train.batch)) * train.batch
    return replace(recipe, train=replace(train, images=whole))


def with_ways(recipe: Recipe, have: Sequence[str] | None, want: Sequence[str] | None) -> dict[str, Recipe]:
    """The recipe for other contrasts, given and wanted (None: its own): {name of the run: recipe}.

    One recipe, under the name "", where the system makes all of them at once; one for each wanted contrast, as
    `t2_to_t1ce`, where it was made for a single one. Raises UserError where it was made for a single source and is
    given several, where a contrast is both given and wanted of a system that needs all it is given, and for a side that
    photographs do not have.
    """
    system = recipe.system
    if not have and not want:
        return {"": recipe}
    have, want = tuple(have or system.have), tuple(want or system.want)
    _check_sides(recipe, (*have, *want))
    kind = SYSTEMS[system.name]
    if kind.most_have is not None and len(have) > kind.most_have:
        raise UserError(
            f"{system.name} translates {kind.most_have} contrast, given are {', '.join(have)}",
            hint="name one with --have; unet, pix2pix and tcmgan take several at once",
        )
    if not (kind.any_source or kind.any_subset) and (both := [name for name in want if name in have]):
        raise UserError(f"both given and wanted: {', '.join(both)}", hint="name each contrast once")
    if kind.most_want is None or len(want) <= kind.most_want:
        return {"": _for(recipe, have, want)}
    return {way(one): one for one in (_for(recipe, have, (name,)) for name in want)}


def way(recipe: Recipe) -> str:
    """The name of a recipe's run in a set: `t2_to_t1ce`."""
    return way_of(recipe.system.have, recipe.system.want)


def way_of(have: Sequence[str], want: Sequence[str]) -> str:
    """What is given and what is made, as `t1_t2_to_flair`."""
    return "_to_".join("_".join(map(slug, names)) for names in (have, want))


def _check_sides(recipe: Recipe, names: Sequence[str]) -> None:
    data = recipe.data
    if isinstance(data, PhotoConfig) and not data.sets and (strange := [n for n in names if n not in data.contrasts]):
        sides = " and ".join(data.contrasts)
        raise UserError(f"photographs have no side {', '.join(strange)}", hint=f"their two sides are called {sides}")


def _for(recipe: Recipe, have: tuple[str, ...], want: tuple[str, ...]) -> Recipe:
    """The order of the contrasts stays that of the recipe; new ones follow.

    A system that is told an image's kind learns all the labels of its recipe: have and want say what may be asked. Of a
    single set of photographs it learns what is wanted: CelebA's list tells many more attributes than a recipe names.
    """
    system, data = replace(recipe.system, have=have, want=want), recipe.data
    if isinstance(system, Any2anyConfig) and (set(system.favoured) - set(have) or not set(want) - set(system.favoured)):
        system = replace(system, favoured=())  # it may not be given, or leaves nothing to be made
    if isinstance(data, PhotoConfig) and len(data.sets) == 1:
        return replace(recipe, system=system, data=replace(data, sets=(replace(data.sets[0], labels=want),)))
    if data.labels:
        return replace(recipe, system=system)
    named = {*have, *want}
    known = tuple(name for name in data.contrasts if name in named)
    contrasts = (*known, *(name for name in dict.fromkeys((*have, *want)) if name not in known))
    return replace(recipe, system=system, data=replace(data, contrasts=contrasts))
