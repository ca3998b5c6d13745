"""From a run folder, or the shipped model's name, to a trained system, ready to synthesise."""

from pathlib import Path

import torch

from polycontrast import runs, systems
from polycontrast.errors import UserError
from polycontrast.io.files import sha256
from polycontrast.runs import RunConfig
from polycontrast.systems.base import System


def load_system(model: str | Path, device: torch.device) -> tuple[RunConfig, System, str]:
    """The run's configuration, its system with the last checkpoint's weights on the device, and the weights' SHA-256.

    Weights that are stored in half precision become the networks' float32. Raises UserError if the model is not a run,
    or if its weights are not its recipe's.
    """
    config = runs.read_config(model)
    weights, file = runs.load_weights(model)
    system = systems.build(config.recipe.system, config.recipe.data)
    for player in system.synthesizers:
        prefix = f"{player}."
        own = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
        try:
            system.players[player].load_state_dict(own)
        except RuntimeError as error:
            first = str(error).splitlines()[1].strip()
            raise UserError(f"the weights are not those of the recipe: {first}", path=file) from None
        system.players[player].to(device).eval()
    return config, system, sha256(file)
