"""Train a recipe for the contrasts asked for: one run, or a set of runs where the system was made for a single pair."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from polycontrast import runs
from polycontrast.data import Source
from polycontrast.io.files import write_json
from polycontrast.recipes import Recipe, with_ways
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

    source: what a run trains on, given its recipe. `images` of the recipe is the length of each run. A set can be added
    to: runs that are in `out` already stay in it. Raises UserError as `with_ways` and `train` do.
    """
    found = with_ways(recipe, have, want)
    for name, one in found.items():
        train(one, source(one), out / name, device=device, resume=resume, tensorboard=tensorboard, progress=progress)
        if name:
            write_json(out / runs.SET, {"runs": list(dict.fromkeys((*runs.members(out), name)))})
    return out
