"""Weights that a training begins with: those of another run, or of the model that comes along."""

from typing import Any

from polycontrast import runs
from polycontrast.errors import UserError
from polycontrast.io.files import sha256
from polycontrast.recipes import Recipe
from polycontrast.runs import RunConfig
from polycontrast.systems.base import System


def check(recipe: Recipe) -> RunConfig:
    """The configuration of the model that `recipe.train.pretrained` names.

    UserError if it is none, or if its inputs or outputs mean something else than the recipe's: weights of the same
    shapes would fit all the same.
    """
    name = recipe.train.pretrained or ""
    config = runs.read_config(name)
    model, own = _meaning(config.recipe), _meaning(recipe)
    if differing := [key for key in own if model.get(key) != own[key]]:
        key = differing[0]
        raise UserError(
            f"the pretrained model's {key} is {_words(model.get(key))}, this run's {_words(own[key])}",
            hint=f"train with its recipe, {config.recipe.name}, and its --have and --want",
            path=runs.folder_of(name),
        )
    return config


def load(system: System, recipe: Recipe) -> dict[str, Any]:
    """Put the weights of that model into the recipe's system; a UserError if they do not fit, or as `check` has it.

    Returns what config.json tells of it: its name, its weights' SHA-256 and who was trained on, whom the new run has
    thereby seen, too.
    """
    config, name = check(recipe), recipe.train.pretrained or ""
    file = runs.load_into(system, name)
    return {"model": runs.name_of(name), "sha256": sha256(file), "cases": list(config.cases)}


def _meaning(recipe: Recipe) -> dict[str, Any]:
    """What the planes and numbers that go in and come out stand for."""
    system, data = recipe.system, recipe.data
    told = {"have": system.have, "want": system.want, "labels": data.labels}
    return told | {key: getattr(part, key) for part, key in ((data, "units"), (system, "tanh")) if hasattr(part, key)}


def _words(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
