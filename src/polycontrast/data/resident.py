"""A cohort's slices in a GPU's own memory: reading them from disk, slab by slab, would leave the GPU waiting."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from polycontrast.data.batches import Batch, Dataset, Outputs, Units
from polycontrast.data.cache import Entry
from polycontrast.data.configs import DataConfig
from polycontrast.data.dataset import SliceDataset
from polycontrast.data.slabs import read_slab

_SHARE = 0.4  # of the memory that is free: the rest is for networks and gradients


class ResidentSlices(Dataset[DataConfig]):
    """The batches of a `SliceDataset` in volume units, rounded to float16, gathered where they are needed.

    Holds every framed slice of the cohort in float16, as the cache does, with as many empty ones between two cases as
    a slab may reach beyond the first.
    """

    def __init__(self, dataset: SliceDataset, device: torch.device) -> None:
        self._dataset, self._device = dataset, device
        self.config, self.seed, self.entries, self.left_out = (
            dataset.config, dataset.seed, dataset.entries, dataset.left_out
        )  # fmt: skip
        around = self.config.slab
        images, regions, self._first, total = [], [], {}, around
        for entry in dataset.entries:
            depth = entry.box[2][1] - entry.box[2][0]
            image, region = _framed(entry, self.config, depth + around)
            images.append(image.to(device))
            regions.append(region.to(device))
            self._first[entry.id] = total
            total += depth + around
        shape = (around, *images[0].shape[1:])
        self._images = torch.cat([images[0].new_zeros(shape), *images])
        self._regions = torch.cat([regions[0].new_zeros(around, *regions[0].shape[1:]), *regions])
        self._reach = torch.arange(self.config.slab, device=device) - self.config.slab // 2

    @property
    def cases(self) -> tuple[str, ...]:
        return self._dataset.cases

    def __len__(self) -> int:
        return len(self._dataset)

    def batch(self, indices: Sequence[int]) -> Batch:
        places = [self._dataset.place(i) for i in indices]
        middle = torch.tensor([self._first[entry.id] + z for entry, z in places]).to(self._device, non_blocking=True)
        at = middle[:, None] + self._reach
        images = 2 * self._images[at].transpose(1, 2).float() - 1
        mask, lesion = self._regions[at].transpose(1, 2).split(1, dim=1)
        present = torch.ones(images.shape[:2], dtype=torch.bool, device=self._device)
        return Batch(images, present, mask, lesion, tuple(indices))

    def examples(self, rows: int, have: Collection[str] = ()) -> tuple[Batch, list[str]]:
        return self._dataset.examples(rows, have)

    def units(self, outputs: Outputs | None = None) -> Units:
        return self._dataset.units(outputs)


def resident(dataset: Dataset[Any], device: torch.device) -> Dataset[Any]:
    """The data set in the memory of this GPU, if it is one of plain slices in volume units and fits; else itself."""
    plain = isinstance(dataset, SliceDataset) and dataset.config.paired and dataset.config.augmentation is None
    if device.type != "cuda" or not plain or dataset.config.units != "volume":
        return dataset
    slices = sum(entry.box[2][1] - entry.box[2][0] + dataset.config.slab for entry in dataset.entries)
    needed = slices * dataset.config.size**2 * (2 * len(dataset.config.contrasts) + 2)
    if needed > _SHARE * torch.cuda.mem_get_info(device)[0]:
        return dataset
    assert isinstance(dataset, SliceDataset)
    return ResidentSlices(dataset, device)


def _framed(entry: Entry, config: DataConfig, length: int) -> tuple[Tensor, Tensor]:
    """Every slice of a case's box and empty ones behind: images [length, C, H, W] float16 and mask and lesion
    [length, 2, H, W] bool."""
    depth = entry.box[2][1] - entry.box[2][0]
    images, mask, lesion = read_slab(entry, depth // 2, replace(config, slab=depth, made=depth))
    images, regions = images.half().transpose(0, 1), torch.cat([mask, lesion]).transpose(0, 1)
    behind = (0, 0, 0, 0, 0, 0, 0, length - depth)
    return F.pad(images, behind), F.pad(regions, behind)
