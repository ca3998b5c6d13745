"""Trains a recipe: run_training.py RECIPE.json COHORT CACHE RUN [--resume], also under torchrun."""

import sys
from pathlib import Path

from polycontrast import recipes
from polycontrast.data.cache import cached
from polycontrast.device import keep_memory
from polycontrast.io.files import read_json
from polycontrast.io.layout import find_cases
from polycontrast.train import distributed
from polycontrast.train.loop import train


def main(recipe_file: str, cohort: str, cache: str, run: str, *flags: str) -> None:
    keep_memory()
    recipe = recipes.from_json(read_json(Path(recipe_file)))
    entries = cached(find_cases(cohort), recipe.data.contrasts, Path(cache))
    train(recipe, entries, Path(run), resume="--resume" in flags, progress=False)
    distributed.finish()


if __name__ == "__main__":
    main(*sys.argv[1:])
