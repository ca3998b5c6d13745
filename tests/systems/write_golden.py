"""Write the golden losses anew: python -m tests.systems.write_golden [SYSTEM ...]; look at what differs."""

import importlib
import json
import sys

import torch

from polycontrast.systems import SYSTEMS

from .contract import GOLDEN, SystemContract, golden_losses, trainer_of


def main(names: list[str]) -> None:
    torch.set_num_threads(1)
    GOLDEN.mkdir(exist_ok=True)
    for name in names or SYSTEMS:
        module = importlib.import_module(f"tests.systems.test_{name}")
        for kind in vars(module).values():
            if isinstance(kind, type) and issubclass(kind, SystemContract) and kind is not SystemContract:
                found = golden_losses(trainer_of(kind.recipe), kind.recipe)
                lines = [f"{json.dumps(term)}: {json.dumps(values)}" for term, values in found.items()]
                (GOLDEN / f"{kind.recipe.name}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
