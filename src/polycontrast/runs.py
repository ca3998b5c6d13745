"""What a run folder holds, for those who read it: config.json and the last complete checkpoint's weights.

Training writes it (train/checkpoint.py); synthesis reads only JSON and safetensors, never a pickle. The shipped model
has the same form but for its weights, which lie beside config.json (workflows/ship.py); it is known by a name.
"""

import math
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from polycontrast import recipes
from polycontrast.data.configs import PhotoConfig
from polycontrast.data.descriptors import Range, Typical
from polycontrast.errors import UserError
from polycontrast.io.files import read_json
from polycontrast.recipes import Recipe
from polycontrast.systems.base import System

CHECKPOINT, OLD_CHECKPOINT = "checkpoint", "checkpoint.old"
CONFIG = "config.json"
SET = "set.json"  # in a folder of runs that are used together: {"runs": [folder, ...]}
SHIPPED = "any2any"  # the name of the model that lies in this package
SHIPPED_WEIGHTS = f"{SHIPPED}.safetensors"


@dataclass(frozen=True)
class RunConfig:
    """config.json: the version that trained, the whole recipe, the map to normalised units, who was trained on (by the
    model that it began with, too).

    confidence: {way: {level: factor}}: the interval that holds a real value in so many per cent of voxels reaches from
    the image by factor times the scale; a way is what is given and what is made, as "t1_t2_to_flair". Empty where the
    system gives no scale or was not calibrated.
    typical: {contrast: {descriptor: (low, high)}}: between which values the descriptors of ordinary patients lie
    (data/descriptors.py). Empty if the run tells none.
    """

    version: str
    recipe: Recipe
    units: dict[str, tuple[float, float]]
    cases: tuple[str, ...]
    confidence: dict[str, dict[str, float]] = field(default_factory=dict)
    typical: Typical = field(default_factory=dict)


def shipped() -> Path:
    """The folder of the shipped model, a package of data."""
    return Path(str(resources.files("polycontrast.weights")))


def folder_of(model: str | Path) -> Path:
    """Where a model lies: its folder, or the shipped model's, for its name.

    The name could be a folder's too. Where a run, or a set of runs, lies in a folder of that name, that one is meant:
    whoever trained it there asks for it. Anything else of that name is no model and hides none. The text `./any2any` is
    always a folder; a Path forgets the dot. UserError if the shipped model is meant and was not installed.
    """
    path = Path(model)
    if str(model) != SHIPPED or any((path / file).is_file() for file in (CONFIG, SET)):
        return path
    if not (shipped() / SHIPPED_WEIGHTS).is_file():
        raise UserError(
            f"the shipped model {SHIPPED} is not in this installation",
            hint="install polycontrast anew, or name the folder of a run with --model",
            path=shipped(),
        )
    return shipped()


def name_of(model: str | Path) -> str:
    """What a model is called: as its folder, or the shipped model by its name."""
    folder = folder_of(model).resolve()
    return SHIPPED if folder == shipped().resolve() else folder.name


def read_config(model: str | Path) -> RunConfig:
    """The config.json of a run, or of the shipped model; a UserError says what is wrong with it."""
    run = folder_of(model)
    file = run / CONFIG
    if not run.is_dir():
        raise UserError("no such run folder", hint="train one with `polycontrast train`", path=run)
    values: dict[str, Any] = read_json(file)
    try:
        units = {name: (float(gain), float(offset)) for name, (gain, offset) in values["units"].items()}
        recipe = recipes.from_json(values["recipe"])
        cases = tuple(dict.fromkeys((*values["cases"], *values.get("pretrained", {}).get("cases", ()))))
        unmapped = [name for name in recipe.system.want if name not in units]
        if unmapped and not isinstance(recipe.data, PhotoConfig):  # a photograph has no normalised units
            raise UserError(f"no units for {', '.join(unmapped)}", hint="is the file of another version?")
        levels = {
            way: {level: float(factor) for level, factor in told.items()}
            for way, told in values.get("confidence", {}).items()
        }
        usual = {
            name: {key: _range(*pair) for key, pair in told.items()} for name, told in values.get("typical", {}).items()
        }
        return RunConfig(str(values["polycontrast"]), recipe, units, cases, levels, usual)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"not a run's configuration: {error!r}", hint="is this a run folder?", path=file) from None
    except UserError as error:
        raise UserError(error.message, error.hint, file) from None


def _range(low: float, high: float) -> Range:
    """Two numbers, the second the greater; a ValueError otherwise, or a TypeError."""
    if not -math.inf < low < high < math.inf:
        raise ValueError(f"{low} to {high} is no range")
    return float(low), float(high)


def members(model: str | Path) -> tuple[str, ...]:
    """The runs of a set, by the names of their folders; none if the model is not a set."""
    file = folder_of(model) / SET
    if not file.is_file():
        return ()
    told = read_json(file)
    names = told.get("runs") if isinstance(told, dict) else None
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise UserError("not a set of runs", hint='expected {"runs": ["folder", ...]}', path=file)
    return tuple(names)


def find(run: Path) -> Path | None:
    """The folder of the run's last complete checkpoint, or None. A kill in mid-save may have left it set aside."""
    for name in (CHECKPOINT, OLD_CHECKPOINT):
        if (run / name / "clock.json").exists():
            return run / name
    return None


def check_free(run: Path) -> None:
    """UserError if a model lies in a folder where a new run is to begin. A run without a checkpoint is none yet."""
    if find(run) is not None or (run / SHIPPED_WEIGHTS).is_file():
        raise UserError("there is a run already", hint="go on with --resume, or choose another folder", path=run)


def required(run: Path) -> Path:
    """`find`, or a UserError."""
    folder = find(run)
    if folder is None:
        raise UserError("no checkpoint in this run folder", hint="was the training stopped before its first?", path=run)
    return folder


def load_weights(model: str | Path) -> tuple[dict[str, Tensor], Path]:
    """The weights that synthesis needs (`<player>.<parameter>`) as stored, on the CPU, and the file they came from."""
    run = folder_of(model)
    file = run / SHIPPED_WEIGHTS
    if not file.is_file():
        file = required(run) / "weights.safetensors"
    try:
        return load_file(file), file
    except (SafetensorError, OSError) as error:
        raise UserError(f"cannot be read as safetensors: {error}", path=file) from None


def load_into(system: System, model: str | Path) -> Path:
    """Put a model's weights into a system, on whatever device it is; returns their file. UserError if they are those of
    another system."""
    weights, file = load_weights(model)
    try:
        system.load_weights(weights)
    except UserError as error:
        raise UserError(error.message, error.hint, file) from None
    return file
