"""Checkpoints of the original repositories as run folders, which synthesis takes like any other.

Only tables of tensors are read, with `weights_only`: a file that needs code to be unpickled is refused.
"""

import pickle
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast, get_args

import torch
from torch import Tensor

import polycontrast
from polycontrast import config, recipes, systems
from polycontrast.data import open_dataset
from polycontrast.data.batches import Units
from polycontrast.data.cache import Entry
from polycontrast.data.configs import DataConfig, PhotoConfig
from polycontrast.errors import UserError
from polycontrast.io.files import open_input, sha256, write_json
from polycontrast.recipes import Recipe
from polycontrast.systems import foreign
from polycontrast.systems.base import GENERATOR, System
from polycontrast.systems.foreign import Kind, Sizes
from polycontrast.train import checkpoint
from polycontrast.train.loop import output_units

KINDS: tuple[Kind, ...] = get_args(Kind)
NOT_IMPORTED = "not imported: random weights"


def import_weights(
    kind: str,
    file: Path,
    out: Path,
    *,
    recipe: str | None = None,
    second: Path | None = None,
    labels: Sequence[str] = (),
    size: int | None = None,
    source: Callable[[Recipe], Sequence[Entry]] | None = None,
    device: torch.device | None = None,
) -> dict[str, Any]:
    """Write a run folder `out` with a generator's weights from `file`; returns what its config.json says of the import.

    kind: one of `KINDS`, see `systems.foreign`. recipe: of this system, the kind's own if None; it tells what
    photographs are given (`stargan_rafd`), while the network's sizes are read off the weights.
    second (cyclegan): the file of the way back; without it b_to_a keeps random weights, which synthesis never uses.
    labels (stargan): what the label planes mean, in their order.
    size (photographs): the edge of the images it was trained on; the recipe's if None.
    source (tcmgan), device: the cases, given the recipe, to which the map from slice maxima to normalised units is
    fitted, and where that is computed.
    UserError for a file that is no such checkpoint, for options that are missing or of another kind, and if there is
    something at `out`. Nothing is left after a refusal.
    """
    _check_options(kind, {"--second": second, "--labels": labels, "--size": size, "--data": source})
    if out.exists():
        raise UserError("there is something already", hint="choose another -o", path=out)
    kind = cast(Kind, kind)
    chosen, weights = _recipe(kind, recipe or kind), read_weights(file)
    with _told_of(file):
        fitted = _fitted(chosen, foreign.sizes(kind, weights), labels, size)
        system = _built(fitted)
        _fill(system, kind, weights, "a_to_b" if kind == "cyclegan" else "")
    origin: dict[str, Any] = {"kind": kind, "file": {"name": file.name, "sha256": sha256(file)}}
    if kind == "cyclegan":
        origin["b_to_a"] = NOT_IMPORTED
    if second is not None:
        with _told_of(second):
            _fill(system, kind, read_weights(second), "b_to_a")
        origin["b_to_a"] = {"name": second.name, "sha256": sha256(second)}
    units: Units = {}
    if source is not None:
        units, origin["units_from"] = _units(system, fitted, source(fitted), device or torch.device("cpu"))
    _write(out, fitted, system, units, origin)
    return origin


def read_weights(file: Path) -> dict[str, Tensor]:
    """The table of tensors that `torch.save` wrote, on the CPU. UserError for anything else; no code in it is run."""
    open_input(file).close()
    hint = "save the generator's state_dict() alone, with torch.save"
    try:
        values = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:  # its text advises to run the code
        raise UserError(
            "refused: not a plain table of tensors, and to read it otherwise could run code", hint, file
        ) from None
    except Exception as error:  # a damaged file may raise anything
        told = str(error).partition(". ")[0].partition("\n")[0]
        raise UserError(f"cannot be read as PyTorch weights: {type(error).__name__}: {told}", hint, file) from None
    if not isinstance(values, dict) or not all(isinstance(v, Tensor) and isinstance(k, str) for k, v in values.items()):
        raise UserError("expected a table of tensors by name, found something else", hint, file)
    return foreign.unwrapped(values)


def _check_options(kind: str, given: dict[str, object]) -> None:
    takes: dict[str, tuple[str, ...]] = {
        "stargan": ("--labels", "--size"), "pix2pix": ("--size",), "cyclegan": ("--second", "--size"),
        "tcmgan": ("--data",),
    }  # fmt: skip
    if kind not in KINDS:
        raise UserError(f"no weights of a kind {kind!r} are known", hint=f"there are: {', '.join(KINDS)}")
    if strange := [option for option, value in given.items() if value and option not in takes[kind]]:
        hint = f"{kind} takes {' and '.join(takes[kind])}"
        raise UserError(f"{', '.join(strange)} says nothing of {kind} weights", hint=hint)
    if kind == "tcmgan" and not given["--data"]:
        raise UserError(
            "tcmgan makes values of a slice's own maximum; their map to normalised units must be fitted to real images",
            hint="name a folder of cases with all four contrasts: --data FOLDER, with --split FILE --role gan",
        )
    if kind == "stargan" and not given["--labels"]:
        raise UserError(
            "a stargan checkpoint does not tell what its label planes mean",
            hint="name them in their order, such as --labels Black_Hair,Blond_Hair,Brown_Hair,Male,Young",
        )


@contextmanager
def _told_of(file: Path) -> Iterator[None]:
    """A UserError inside is told of this file."""
    try:
        yield
    except UserError as error:
        raise UserError(error.message, error.hint, error.path or file) from None


def _recipe(kind: Kind, name: str) -> Recipe:
    """The recipe of this name, if what it describes ends in tanh, as the originals do, and has no mask vector."""

    def fits(one: Recipe) -> bool:
        return one.system.name == kind and one.system.tanh and len(one.data.labels) < 2

    chosen = recipes.recipe(name)
    if not fits(chosen):
        fitting = [known for known, function in recipes.RECIPES.items() if fits(function())]
        raise UserError(f"the recipe {name} is not for {kind} weights", hint=f"choose of {', '.join(fitting)}")
    return chosen


def _fitted(recipe: Recipe, found: Sizes, labels: Sequence[str], size: int | None) -> Recipe:
    """The recipe with the sizes that the weights tell."""
    system: Any = recipe.system
    depth = "levels" if hasattr(system, "levels") else "blocks"
    system, data = replace(system, **{"base": found.base, depth: found.depth}), recipe.data
    if isinstance(data, PhotoConfig):
        data = replace(data, channels=found.outputs)
        if size is not None:
            data = replace(data, load=round(data.load * size / data.size), size=size)
        if labels:
            _check_labels(labels, found.inputs - found.outputs)
            (one,) = data.sets
            system = replace(system, want=tuple(labels))
            data = replace(data, sets=(replace(one, labels=tuple(labels)),))
    return replace(recipe, system=system, data=data)


def _check_labels(labels: Sequence[str], planes: int) -> None:
    if len(labels) != planes or len(set(labels)) < len(labels):
        raise UserError(
            f"the generator takes {planes} label planes, named are {len(set(labels))}: {', '.join(labels)}",
            hint="name each plane once, in the order of the training's --selected_attrs (or of RaFD's folders)",
        )


def _built(recipe: Recipe) -> System:
    """The recipe's system, its initialisation drawn from the recipe's seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.train.seed)
        return systems.build(recipe.system, recipe.data)


def _fill(system: System, kind: Kind, weights: dict[str, Tensor], part: str) -> None:
    network = cast(Any, system.players[GENERATOR].get_submodule(part))
    network.load_state_dict(foreign.converted(kind, weights, network))


def _units(system: System, recipe: Recipe, entries: Sequence[Entry], device: torch.device) -> tuple[Units, list[str]]:
    """The map from the system's outputs to normalised units, and the cases it was fitted to."""
    assert isinstance(recipe.data, DataConfig)
    dataset = open_dataset(replace(recipe.data, lesion=False), entries)  # no segmentation is needed here
    return output_units(system.to(device), dataset, device), list(dataset.cases)


def _write(out: Path, recipe: Recipe, system: System, units: Units, origin: dict[str, Any]) -> None:
    """The run folder, written beside its place and renamed as a whole."""
    part = out.with_name(f".part-{uuid.uuid4().hex[:8]}-{out.name}")
    described = {
        "polycontrast": polycontrast.__version__, "recipe": config.to_dict(recipe), "cases": [], "left_out": [],
        "slices": 0, "imported": origin, "units": units,
    }  # fmt: skip
    try:
        part.mkdir(parents=True)
        checkpoint.save(part, system.weights(), {}, {"images": 0, "updates": 0, "seconds": 0.0})
        write_json(part / "config.json", described)
        part.rename(out)
    except (OSError, UserError) as error:
        told = error.message if isinstance(error, UserError) else f"cannot be written: {error.strerror}"
        raise UserError(told, hint="choose another -o, or free some disk space", path=out) from None
    finally:
        shutil.rmtree(part, ignore_errors=True)  # absent after success
