"""What bfloat16 does to the losses: the same steps on the same phantom slices in float32 and as the recipe has it.

A GAN's steps amplify rounding, so a difference means nothing by itself. The yardstick is a third run, in float32 but
channels-last, where nothing but the order of summation differs.
"""

import argparse
from concurrent.futures import Executor
from dataclasses import replace

from common import QUICK_RECIPE, fresh, machine, phantom_slices, prepared, table, trainer
from polycontrast.data.dataset import SliceDataset
from polycontrast.recipes import Recipe

TAIL = 5  # the last steps, averaged


def report(process: Executor, recipe: str, batch: int, steps: int) -> str:
    """A Markdown table of every term at the end of `steps` steps, computed in the given process."""
    exact, other, rough = process.submit(_measure, recipe, batch, steps).result()
    rows = []
    for name, value in exact.items():
        differences = [(x[name] - value) / max(abs(value), 1e-12) for x in (other, rough)]
        values = [f"{x[name]:.4f}" for x in (exact, other, rough)]
        rows.append([name, *values, *[f"{d:+.1%}" for d in differences]])
    header = [f"mean of steps {max(1, steps - TAIL + 1)} to {steps}, batch {batch}", "float32", "float32 channels-last"]
    return table([*header, "bfloat16", "rounding alone", "bfloat16 against float32"], rows)


def _measure(name: str, batch: int, steps: int) -> list[dict[str, float]]:
    exact = prepared(name, batch, tuned=False)
    everyone = tuple(trainer(exact)[1].players)
    other = replace(exact, train=replace(exact.train, channels_last=everyone))
    with phantom_slices(exact.data) as slices:
        return [_last_terms(recipe, slices, steps) for recipe in (exact, other, prepared(name, batch))]


def _last_terms(recipe: Recipe, slices: SliceDataset, steps: int) -> dict[str, float]:
    made, _ = trainer(recipe)
    size = recipe.train.batch
    logs = [made.step(slices.batch(range(i * size, (i + 1) * size))) for i in range(steps)][-TAIL:]
    return {name: sum(log[name] for log in logs) / len(logs) for name in logs[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", default="tcmgan")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--quick", action="store_true", help="a tiny system, two steps: shows that it works")
    a = parser.parse_args()
    print(machine())
    with fresh(keeps_memory=True) as process:
        print(report(process, QUICK_RECIPE, 2, 2) if a.quick else report(process, a.recipe, a.batch, a.steps))


if __name__ == "__main__":
    main()
