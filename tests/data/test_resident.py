"""A cohort in a GPU's memory gives the batches that reading from disk gives; tried on the CPU."""

from dataclasses import replace

import pytest
import torch

from polycontrast.data.augment import Augmentation
from polycontrast.data.cache import Entry
from polycontrast.data.configs import DataConfig
from polycontrast.data.dataset import SliceDataset
from polycontrast.data.resident import ResidentSlices, resident

CPU = torch.device("cpu")


@pytest.mark.parametrize(("slab", "made"), [(1, 1), (3, 1), (4, 2)])
def test_its_batches_are_those_of_the_data_set(entries: list[Entry], slab: int, made: int) -> None:
    config = DataConfig(size=32, min_area=0.0, units="volume", slab=slab, made=made)
    dataset = SliceDataset(entries, config, seed=3)
    held = ResidentSlices(dataset, CPU)
    assert len(held) == len(dataset)
    assert held.cases == dataset.cases
    indices = range(2 * len(dataset))  # every slice of every case, the first and the last ones too
    read, gathered = dataset.batch(indices), held.batch(indices)
    assert read.index == gathered.index
    for name in ("mask", "lesion", "present"):
        assert torch.equal(getattr(read, name), getattr(gathered, name))
    torch.testing.assert_close(gathered.images, read.images, atol=2e-3, rtol=0)  # float16, after the resize


def test_only_a_gpu_holds_a_cohort_and_only_plain_slices(entries: list[Entry]) -> None:
    plain = DataConfig(size=32, min_area=2000.0, units="volume")
    assert resident(dataset := SliceDataset(entries, plain), CPU) is dataset
    moved = SliceDataset(entries, replace(plain, augmentation=Augmentation()))
    assert resident(moved, torch.device("cuda")) is moved


def test_a_gpu_with_room_holds_a_cohort_and_one_without_does_not(
    entries: list[Entry], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = DataConfig(size=32, min_area=2000.0, units="volume")
    dataset, gpu = SliceDataset(entries, plain), torch.device("cuda")
    slices = sum(entry.box[2][1] - entry.box[2][0] + plain.slab for entry in entries)
    needed = slices * 32 * 32 * 10  # four contrasts in float16, mask and lesion
    monkeypatch.setattr("polycontrast.data.resident.ResidentSlices", lambda *given: given)
    for free, held in ((3 * needed, True), (2 * needed, False)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _, free=free: (free, 80e9))
        assert resident(dataset, gpu) == ((dataset, gpu) if held else dataset)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (80e9, 80e9))
    for other in (replace(plain, units="slice-max"), replace(plain, paired=False)):
        assert resident(strange := SliceDataset(entries, other), gpu) is strange
