"""Weights that a training begins with: those of another run, or of the model that comes along."""

from typing import Any

from polycontrast import runs
from polycontrast.errors import UserError
from polycontrast.io.files import sha256
from polycontrast.recipes import Recipe
from polycontrast.systems.base import System


def load(system: System, recipe: Recipe) -> dict[str, Any]:
    """Put the weights of the model that `recipe.train.pretrained` names into the recipe's system.

    Returns what config.json tells of it: its name, its weights' SHA-256 and who was trained on, whom the new run has
    thereby seen, too. UserError if it is no model, if its weights do not fit, or if it makes other contrasts, or of
    others, than the recipe does: its weights might fit all the same.
    """
    name = recipe.train.pretrained or ""
    config = runs.read_config(name)
    ways = [(one.system.have, one.system.want) for one in (config.recipe, recipe)]
    if ways[0] != ways[1]:
        its, own = (f"{', '.join(want)} from {', '.join(have)}" for have, want in ways)
        raise UserError(
            f"the pretrained model makes {its}, and this run is to make {own}",
            hint=f"train with its recipe, {config.recipe.name}, and its --have and --want",
            path=runs.folder_of(name),
        )
    file = runs.load_into(system, name)
    return {"model": runs.name_of(name), "sha256": sha256(file), "cases": list(config.cases)}
