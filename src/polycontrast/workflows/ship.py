"""From a finished run to the form of the shipped model: half-precision weights beside config.json.

    python -m polycontrast.workflows.ship RUN src/polycontrast/weights --split split.json

The model card, README.md, is written by hand and left alone.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from polycontrast import runs
from polycontrast.data.split import read_roles
from polycontrast.errors import EXIT_USER, UserError
from polycontrast.infer.loading import load_system
from polycontrast.io.files import atomic_write, read_json, write_json
from polycontrast.recipes import Recipe

LARGEST = 12_000_000  # bytes of weights that a wheel should carry


def ship(
    run: Path, out: Path, split: Path | None = None, calibrated: Path | None = None, usual: Path | None = None
) -> Path:
    """Write a run's weights, as float16, and its configuration into the folder `out`; returns it.

    split: JSON of roles; config.json then says which case had which ("roles"), beside those that were trained on
    ("cases"). calibrated: the model whose intervals are taken, where this one was trained on every patient that could
    calibrate it. usual: the run whose values count as a usual image's, where this one has seen phantoms. Raises
    UserError if the run is not whole, if a lender has nothing to lend or makes something else, or if the weights are
    too many or too large for float16.
    """
    load_system(run, torch.device("cpu"))  # a run whose weights do not fit its recipe is refused here
    weights, source = runs.load_weights(run)
    half = {name: tensor.to(torch.float16) for name, tensor in weights.items()}
    if large := [name for name, tensor in half.items() if not tensor.isfinite().all()]:
        raise UserError(f"values beyond the range of float16 in {large[0]}", "train anew with another seed", source)
    content = save(half)
    if len(content) > LARGEST:
        found = f"{len(content) / 1e6:.1f} MB of weights in half precision, more than {LARGEST / 1e6:.0f}"
        raise UserError(found, hint="ship a narrower network", path=source)
    config = read_json(run / runs.CONFIG)
    if began := config.get("pretrained"):
        config["recipe"]["train"]["pretrained"] = began["model"]  # the path says nothing elsewhere
    if split is not None:
        config["roles"] = read_roles(split)
    if calibrated is not None:
        lender = runs.read_config(calibrated)
        if _ways(lender.recipe) != _ways(runs.read_config(run).recipe):
            raise UserError(
                "another system, other contrasts or data", "lend the intervals of one that makes the same", calibrated
            )
        if not lender.confidence:
            raise UserError("no intervals to lend", "`polycontrast calibrate` makes them", calibrated)
        config["confidence"] = lender.confidence
    if usual is not None:
        config["typical"] = runs.read_config(usual).typical
        if not config["typical"].keys() >= set(runs.read_config(run).recipe.data.contrasts):
            raise UserError("no usual values to lend", "a run of these contrasts and five patients knows them", usual)
    with atomic_write(out / runs.SHIPPED_WEIGHTS) as part:
        part.write_bytes(content)
    write_json(out / runs.CONFIG, config)
    return out


def _ways(recipe: Recipe) -> tuple[Any, ...]:
    """What is made of what, in which units and pieces: to that intervals belong, whatever the losses were."""
    system = recipe.system
    return system.name, system.have, system.want, recipe.data


def main() -> None:
    """The command line; a UserError is printed in words and exits with 2."""
    parser = argparse.ArgumentParser(
        prog="python -m polycontrast.workflows.ship", description="Writes a run in the form of the shipped model."
    )
    parser.add_argument("run", type=Path, help="the folder of a finished run")
    parser.add_argument("out", type=Path, help="where any2any.safetensors and config.json are written")
    parser.add_argument("--split", type=Path, help="JSON of roles, which config.json then tells")
    parser.add_argument("--calibrated", type=Path, help="the model that lends its intervals, of the same contrasts")
    parser.add_argument("--usual", type=Path, help="the run that lends what a usual image is: of patients alone")
    given = parser.parse_args()
    try:
        out = ship(given.run, given.out, given.split, given.calibrated, given.usual)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(EXIT_USER)
    print(f"{out / runs.SHIPPED_WEIGHTS}: {(out / runs.SHIPPED_WEIGHTS).stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
