"""A Synthesizer is loaded once and turns the volumes a patient has into the ones the patient lacks.

The way: guarded read -> canonical grid -> intensity -> framed slices -> `system.synthesize` -> normalised units ->
grid undone -> Volume. What comes back lies voxel for voxel where the input lies.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import numpy as np
import torch

from polycontrast import runs, systems
from polycontrast.contrasts import canonical, canonical_set
from polycontrast.data import grid, intensity
from polycontrast.data.dataset import to_units
from polycontrast.data.intensity import Mask
from polycontrast.errors import UserError
from polycontrast.infer.inputs import Image, as_volume
from polycontrast.io.checks import check_same_grid
from polycontrast.io.files import sha256
from polycontrast.io.volume import Array, Volume
from polycontrast.runs import RunConfig
from polycontrast.systems.base import System

_BATCH = 16  # slices at a time: bounds memory; no result depends on it


class Synthesizer:
    """A trained model, ready to synthesise. `have`: what it must be given; `want`: what it can make.

    Computes in float32. Volumes come back in normalised units (brain mean 0.5, SD 0.25; background 0).
    """

    def __init__(self, config: RunConfig, system: System, name: str, sha256: str, device: torch.device) -> None:
        self.config, self.system, self.name, self.sha256, self.device = config, system, name, sha256, device
        self.have, self.want = system.have, system.want

    @classmethod
    def load(cls, model: str | Path, device: torch.device | None = None) -> Self:
        """The model in a run folder. Raises UserError if it is not one, or if its weights are not its recipe's."""
        folder, device = Path(model), device or torch.device("cpu")
        config = runs.read_config(folder)
        weights, file = runs.load_weights(folder)
        system = systems.build(config.recipe.system, config.recipe.data)
        for player in system.synthesizers:
            prefix = f"{player}."
            own = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
            try:
                system.players[player].load_state_dict(own)
            except RuntimeError as error:
                first = str(error).splitlines()[1].strip()
                raise UserError(f"the weights are not those of the recipe: {first}", path=file) from None
            system.players[player].to(device).eval()
        return cls(config, system, folder.resolve().name, sha256(file), device)

    def __call__(self, images: Mapping[str, Image], want: Sequence[str] | None = None) -> dict[str, Volume]:
        """Given images by contrast name (paths, nibabel images, arrays, Volumes), the wanted ones, on the same grid.

        want: all that the model can make if None. UserError for an image that cannot be used (see `as_volume`).
        """
        given = {canonical(name): as_volume(image) for name, image in images.items()}
        if len(given) < len(images):
            raise UserError(f"two images of one contrast: {', '.join(images)}", hint="give each contrast once")
        wanted = self.check(given, want)
        check_same_grid(given)
        first = given[self.have[0]]
        affine = first.geometry.affine
        raw = [grid.to_canonical(given[name].array, affine) for name in self.have]
        mask = intensity.brain_mask(raw)
        try:
            made = self._canonical(raw, mask, grid.canonical_spacing(affine), wanted)
        except UserError as error:
            raise UserError(error.message, error.hint, error.path or first.path) from None
        return {
            name: first.with_array(grid.from_canonical(array, affine), f"SYNTHETIC {name} by polycontrast")
            for name, array in made.items()
        }

    def check(self, given: Mapping[str, object], want: Sequence[str] | None) -> tuple[str, ...]:
        """The wanted contrasts, or a UserError if this model lacks an input or cannot make one of them."""
        wanted = canonical_set(want) if want is not None else self.want
        if missing := [name for name in self.have if name not in given]:
            raise UserError(
                f"the model {self.name} needs {', '.join(missing)}, found {', '.join(given) or 'nothing'}",
                hint="give that contrast, or use a model that was trained without it",
            )
        if not wanted:
            raise UserError("no contrast is wanted", hint=f"the model {self.name} makes {', '.join(self.want)}")
        if strange := [name for name in wanted if name not in self.want]:
            raise UserError(
                f"the model {self.name} was not trained to make {', '.join(strange)}",
                hint=f"it makes {', '.join(self.want)}",
            )
        return wanted

    def _canonical(
        self, raw: list[Array], mask: Mask, spacing: tuple[float, float, float], want: Sequence[str]
    ) -> dict[str, Array]:
        """Canonical volumes in, canonical volumes in normalised units out, [X, Y, Z]."""
        data = self.config.recipe.data
        fits = [intensity.fit(array, mask) for array in raw]
        box = grid.bounding_box(mask)
        z = slice(*box[2])
        if data.units == "volume":
            stack = [f.apply(a, mask)[:, :, z] for f, a in zip(fits, raw, strict=True)]
        else:
            stack = [np.where(mask, a, np.float32(0))[:, :, z] for a in raw]
        slices = np.stack(stack).transpose(3, 0, 1, 2)  # [Z, C, X, Y]
        start, width = data.frame.place(box, mask.shape, spacing), data.frame.pixels(spacing)
        small = grid.resize(grid.cut(slices, start, width), (data.size, data.size))
        made = self._network(to_units(small, data.units), want)
        out = {}
        for i, name in enumerate(want):
            gain, offset = self.config.units[name]
            large = grid.resize(gain * made[:, i] + offset, width)
            whole = np.zeros(mask.shape, dtype=np.float32)
            whole[:, :, z] = grid.paste(large, start, width, mask.shape[:2]).transpose(1, 2, 0)
            out[name] = np.where(mask, whole, np.float32(0))
        return out

    @torch.inference_mode()
    def _network(self, slices: Array, want: Sequence[str]) -> Array:
        """[Z, C, size, size] in the system's units -> [Z, len(want), size, size]."""
        out = []
        for first in range(0, len(slices), _BATCH):
            batch = torch.from_numpy(slices[first : first + _BATCH])[:, :, None].to(self.device)
            made, _ = self.system.synthesize(batch, self.have, want)
            out.append(made[:, :, 0].cpu().numpy())
        return np.concatenate(out)
