"""From a run folder, or the shipped model's name, to a trained system, ready to synthesise."""

from pathlib import Path

import torch

from polycontrast import runs, systems
from polycontrast.io.files import sha256
from polycontrast.runs import RunConfig
from polycontrast.systems.base import System


def load_system(model: str | Path, device: torch.device) -> tuple[RunConfig, System, str]:
    """The run's configuration, its system with the last checkpoint's weights on the device, and the weights' SHA-256.

    Weights that are stored in half precision become the networks' float32. Raises UserError if the model is not a run,
    or if its weights are not its recipe's.
    """
    config = runs.read_config(model)
    system = systems.build(config.recipe.system, config.recipe.data)
    file = runs.load_into(system, model)
    for player in system.synthesizers:
        system.players[player].to(device).eval()
    return config, system, sha256(file)
