"""Cases -> slices -> Batch."""

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from polycontrast.data import augment
from polycontrast.data.batches import AUGMENT, Batch, Dataset, Outputs, Shuffle, Units
from polycontrast.data.cache import Entry
from polycontrast.data.configs import DataConfig
from polycontrast.data.slabs import Place, places, read_slab, to_units
from polycontrast.data.units import fit_units

Sample = tuple[Tensor, Tensor, Tensor]


class SliceDataset(Dataset[DataConfig]):
    """The slices (or slabs) of a cohort that a recipe trains on.

    entries: cached cases. Where pairs are wanted, those that lack a contrast of the recipe are left out, and so is
    whoever lacks the segmentation where one is needed (`left_out` names them). Unpaired, every contrast has its own
    places, of all cases that have it, in its own order.
    """

    def __init__(self, entries: Sequence[Entry], config: DataConfig, seed: int = 0) -> None:
        needed = (config.contrasts,) if config.paired else tuple((c,) for c in config.contrasts)
        useful = [
            e for e in entries
            if any(set(some) <= set(e.contrasts) for some in needed) and (e.segmented or not config.lesion)
        ]  # fmt: skip
        self.left_out = tuple(e.id for e in entries if e not in useful)
        self.entries, self.config, self.seed = useful, config, seed
        self._places = [places(useful, some, config) for some in needed]
        self._shuffles = [Shuffle(len(p), seed, *([i] if i else [])) for i, p in enumerate(self._places)]

    @property
    def cases(self) -> tuple[str, ...]:
        return tuple(e.id for e in self.entries)

    @property
    def places(self) -> list[Place]:
        """Case and slice of every sample (of the first contrast, where contrasts are not paired)."""
        return self._places[0]

    def __len__(self) -> int:
        return max(map(len, self._places))

    def place(self, index: int, stream: int = 0) -> Place:
        """Which case and slice the sample with this global index shows; stream: of which contrast, if unpaired."""
        return self._places[stream][self._shuffles[stream](index)]

    def sample(self, index: int) -> Sample:
        """images [C, K, H, W] float32, mask [1, K, H, W] bool, lesion [1, K, H, W] bool (of the first, if unpaired)."""
        if self.config.paired:
            return read_sample(self.place(index), self.config, self.seed, index)
        singles = [
            read_sample(
                self.place(index, i), replace(self.config, contrasts=(name,)), self.seed, index, *([i] if i else [])
            )
            for i, name in enumerate(self.config.contrasts)
        ]
        return torch.cat([images for images, _, _ in singles]), singles[0][1], singles[0][2]

    def batch(self, indices: Sequence[int]) -> Batch:
        images, mask, lesion = (torch.stack(t) for t in zip(*map(self.sample, indices), strict=True))
        present = torch.ones(images.shape[:2], dtype=torch.bool)
        return Batch(images, present, mask, lesion, tuple(indices))

    @property
    def whole(self) -> bool:
        return self.config.paired or bool(self._complete)

    @property
    def _complete(self) -> list[Entry]:
        """The cases that have every contrast."""
        return [e for e in self.entries if set(self.config.contrasts) <= set(e.contrasts)]

    def examples(self, rows: int, have: Collection[str] = ()) -> tuple[Batch, list[str]]:
        if not self.config.paired and self._complete:
            return SliceDataset(self._complete, replace(self.config, paired=True), self.seed).examples(rows, have)
        chosen = [i * len(self) // rows for i in range(rows)]
        return self.batch(chosen), [self.place(i)[0].id for i in chosen]

    def units(self, outputs: Outputs | None = None) -> Units:
        return fit_units(self.entries, self.config, outputs)


def read_sample(place: Place, config: DataConfig, seed: int, *stream: int) -> Sample:
    """The slab at this place, augmented by the random numbers of `stream` (an index first), in the system's units."""
    images, mask, lesion = read_slab(*place, config)
    if config.augmentation is not None:
        rng = np.random.default_rng((seed, AUGMENT, *stream))
        transform = augment.sample(config.augmentation, len(images), rng)
        images, mask, lesion = augment.apply(transform, images, mask, lesion)
    return torch.from_numpy(to_units(images.numpy(), config.units)), mask, lesion
