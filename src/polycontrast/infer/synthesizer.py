"""A Synthesizer is loaded once and turns the volumes a patient has into the ones the patient lacks.

The way: guarded read -> canonical grid -> intensity -> framed slices or 3-D windows -> `system.synthesize` ->
normalised units -> grid undone -> Volume. What comes back lies voxel for voxel where the input lies.
"""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Self

import numpy as np
import torch

from polycontrast import runs
from polycontrast.contrasts import canonical, canonical_set
from polycontrast.data import grid, intensity
from polycontrast.data.configs import PatchConfig, PhotoConfig
from polycontrast.errors import UserError
from polycontrast.infer import slices, tiling
from polycontrast.infer.inputs import Image, as_volume
from polycontrast.infer.loading import load_system
from polycontrast.infer.options import Options, Synthetic
from polycontrast.io.checks import check_same_grid
from polycontrast.io.volume import Array, Volume
from polycontrast.precision import has_bfloat16
from polycontrast.recipes import way_of
from polycontrast.runs import RunConfig
from polycontrast.systems.base import System

INTERVAL = "80"  # per cent: the interval that a confidence map shows


class Synthesizer:
    """A trained model, ready to synthesise. `have`: what it is given (one of them, if the system takes any source);
    `want`: what it can make.

    Computes in float32, or in bfloat16 where the system allows it and the device is made for it. Volumes come back in
    normalised units (brain mean 0.5, SD 0.25; background 0).
    """

    def __init__(
        self,
        config: RunConfig,
        system: System,
        name: str,
        sha256: str,
        device: torch.device,
        options: Options = Options(),  # noqa: B008
    ) -> None:
        self.config, self.system, self.name, self.sha256, self.device = config, system, name, sha256, device
        data = config.recipe.data
        assert not isinstance(data, PhotoConfig)
        options.check(data, name)
        self.options, self.data = options, data
        if system.reduced_precision:
            train = config.recipe.train
            system.bfloat16 = frozenset(train.bfloat16 if has_bfloat16(device) else ())
            system.use_channels_last(train.channels_last if system.bfloat16 else ())
        self.have, self.want = system.have, system.want
        self._estimate = tiling.estimate if isinstance(system.data, PatchConfig) else slices.estimate

    @classmethod
    def load(
        cls,
        model: str | Path,
        device: torch.device | str | None = None,
        options: Options = Options(),  # noqa: B008
    ) -> Self:
        """The model in a run folder, or the shipped one by its name, "any2any" (`runs.folder_of`).

        Raises UserError if it is not a model, if its weights are not its recipe's, or for options that would do nothing
        with it.
        """
        device = _device(device or "cpu")
        config, system, digest = load_system(model, device)
        if isinstance(config.recipe.data, PhotoConfig):
            raise UserError(
                "this is a model of photographs, not of volumes",
                hint="give photographs: `polycontrast synth --model RUN -i FOLDER_OR_IMAGE -o OUT`",
                path=runs.folder_of(model),
            )
        return cls(config, system, runs.name_of(model), digest, device, options)

    def __call__(self, images: Mapping[str, Image], want: Sequence[str] | None = None) -> dict[str, Synthetic]:
        """Given images by contrast name (paths, nibabel images, arrays, Volumes), the wanted ones, on the same grid.

        want: all that the model can make if None. UserError for an image that cannot be used (see `as_volume`).
        """
        if not isinstance(images, Mapping):
            raise UserError(f"images by contrast are expected, found {type(images).__name__}", 'give {"T2": image}')
        given = {canonical(name): as_volume(image) for name, image in images.items()}
        if len(given) < len(images):
            raise UserError(f"two images of one contrast: {', '.join(images)}", hint="give each contrast once")
        wanted = self.check(given, want)
        if not wanted:
            raise UserError("nothing is left to make: every contrast is given", hint="name in `want` what to make")
        have = self.sources(given, wanted)
        check_same_grid(given)
        first = given[have[0]]
        affine = first.geometry.affine
        raw = [grid.to_canonical(given[name].array, affine) for name in have]
        mask, spacing = intensity.brain_mask(raw), grid.canonical_spacing(affine)
        intensity.fits(raw, mask, [given[name].path for name in have])  # only here the files are known, to name one
        try:
            made = self._estimate(
                self.system, self.config.units, raw, mask, spacing, have, wanted, self.device, self.options
            )
        except UserError as error:
            raise UserError(error.message, error.hint, error.path or first.path) from None

        def placed(array: Array, description: str) -> Volume:
            return first.with_array(grid.from_canonical(array, affine), description)

        found = {}
        for name, (array, scale) in made.items():
            image, levels = placed(array, f"SYNTHETIC {name} by polycontrast"), self.levels(have, name)
            width = None
            if scale is not None and levels:
                width = placed(np.float32(levels[INTERVAL]) * scale, f"80 % interval of SYNTHETIC {name}")
            found[name] = Synthetic(image.array, image.geometry, None, image.description, width)
        return found

    @property
    def precision(self) -> str:
        """In what it computes here: "float32" or "bfloat16"."""
        return self.system.precision

    def levels(self, have: Sequence[str], want: str) -> dict[str, float]:
        """{per cent: how many scales the interval that holds so many real values reaches}, of one contrast made of
        these; empty if the model tells no confidence."""
        return self.config.confidence.get(way_of([name for name in self.have if name in have], (want,)), {})

    def parts(self, want: Sequence[str]) -> "list[tuple[Synthesizer, tuple[str, ...]]]":
        """Who makes which of the wanted contrasts: itself, all. A set of runs shares them out."""
        return [(self, tuple(want))]

    def sources(self, given: Collection[str], want: Sequence[str] = ()) -> tuple[str, ...]:
        """Which of the given contrasts it will use to make the wanted ones; a UserError if it lacks one."""
        usable = [name for name in given if name not in want] if self._chooses else given
        try:
            return self.system.sources(usable)
        except UserError as error:
            raise UserError(f"the model {self.name} {error.message}", error.hint) from None

    @property
    def _chooses(self) -> bool:
        """Whether a contrast that is wanted may be left out of what is used."""
        return self.system.any_source or self.system.any_subset

    def check(self, given: Collection[str], want: Sequence[str] | None) -> tuple[str, ...]:
        """The wanted contrasts, or a UserError if this model lacks an input or cannot make one of them."""
        wanted = None if want is None else canonical_set(want)
        check_apart(given, self.have, wanted or ())
        if strange := [name for name in wanted or () if name not in self.want]:
            raise UserError(
                f"the model {self.name} was not trained to make {', '.join(strange)}",
                hint=f"it makes {', '.join(self.want)}",
            )
        possible = self.system.targets(self.sources(given, wanted or ()))
        if wanted == ():
            raise UserError("no contrast is wanted", hint=f"the model {self.name} makes {', '.join(possible)}")
        return wanted or possible


def check_apart(given: Collection[str], have: Sequence[str], wanted: Sequence[str]) -> None:
    """UserError if of what a model may be given (have) nothing is there but what is wanted."""
    usable = [name for name in have if name in given]
    if usable and set(usable) <= set(wanted):
        hint = "name what is given with --have, and other contrasts with --want"
        raise UserError(f"both given and wanted: {', '.join(usable)}", hint)


def _device(name: torch.device | str) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise UserError(f"device {str(name)!r} is not there", hint="cpu, cuda, cuda:N or mps") from None
    return device
