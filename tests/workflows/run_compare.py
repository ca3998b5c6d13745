"""Compares recipes: run_compare.py COHORT SPLIT CACHE OUT IMAGES RECIPE.json ..., each under its file's name."""

import sys
from pathlib import Path

from polycontrast import recipes
from polycontrast.io.files import read_json
from polycontrast.metrics import classifier
from polycontrast.workflows.compare import compare
from polycontrast.workflows.setting import Setting


def main(cohort: str, split: str, cache: str, out: str, images: str, *files: str) -> None:
    classifier.STEPS = 2
    setting = Setting(Path(cohort), Path(split), int(images), want=("FLAIR", "T1"), progress=False)
    found = {Path(file).stem: recipes.from_json(read_json(Path(file))) for file in files}
    compare(found, setting, Path(out), cache=Path(cache))


if __name__ == "__main__":
    main(*sys.argv[1:])
