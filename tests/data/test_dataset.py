import threading
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from polycontrast.data.augment import Augmentation
from polycontrast.data.batches import Batch
from polycontrast.data.cache import Entry, cached
from polycontrast.data.configs import DataConfig
from polycontrast.data.dataset import SliceDataset
from polycontrast.data.slabs import read_slab
from polycontrast.errors import UserError
from polycontrast.io.layout import find_cases

from .. import tiny

CONFIG = DataConfig(size=32, min_area=2000.0)
AUGMENTED = replace(CONFIG, units="volume", augmentation=Augmentation())


def assert_equal(a: Batch, b: Batch) -> None:
    assert a.index == b.index
    for name in ("images", "present", "mask", "lesion"):
        assert torch.equal(getattr(a, name), getattr(b, name)), name


def joined(parts: Sequence[Batch]) -> Batch:
    tensors = {n: torch.cat([getattr(p, n) for p in parts]) for n in ("images", "present", "mask", "lesion")}
    return Batch(index=tuple(i for p in parts for i in p.index), **tensors)


def test_each_pass_is_another_permutation_of_all_slices(entries: list[Entry]) -> None:
    dataset = SliceDataset(entries, CONFIG)
    n = len(dataset)
    passes = [[(dataset.place(i)[0].id, dataset.place(i)[1]) for i in range(k * n, (k + 1) * n)] for k in range(3)]
    assert all(sorted(p) == sorted((e.id, z) for e, z in dataset.places) for p in passes)
    assert len({tuple(p) for p in passes}) == 3


def test_another_seed_is_another_order(entries: list[Entry]) -> None:
    orders = [[SliceDataset(entries, CONFIG, seed).place(i)[1] for i in range(20)] for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]


def test_a_sample_depends_on_its_index_alone(entries: list[Entry]) -> None:
    """Not on what was asked for before, nor on the batch it is in."""
    forward, backward = (SliceDataset(entries, AUGMENTED, seed=7) for _ in range(2))
    indices = [0, 1, 5, 40, 90]
    seen = {i: forward.sample(i) for i in indices}
    for i in reversed(indices):
        assert all(torch.equal(a, b) for a, b in zip(backward.sample(i), seen[i], strict=True))
    assert torch.equal(forward.batch([90, 5]).images[1], seen[5][0])


def test_each_pass_augments_a_slice_anew(entries: list[Entry]) -> None:
    dataset = SliceDataset(entries[:1], AUGMENTED)
    n = len(dataset)
    first = next(i for i in range(n) if dataset.place(i) == dataset.places[0])
    again = next(i for i in range(n, 2 * n) if dataset.place(i) == dataset.places[0])
    assert not torch.equal(dataset.sample(first)[0], dataset.sample(again)[0])


def test_two_ranks_together_draw_what_one_process_draws(entries: list[Entry]) -> None:
    one = islice(SliceDataset(entries, AUGMENTED).batches(8, 4), 3)
    ranks = [islice(SliceDataset(entries, AUGMENTED).batches(8, 4, rank, 2), 3) for rank in range(2)]
    for whole, *parts in zip(one, *ranks, strict=True):
        assert_equal(whole, joined(parts))


@pytest.mark.parametrize("ahead", [1, 3])
@pytest.mark.parametrize("world", [1, 2])
def test_reading_ahead_in_threads_changes_nothing(entries: list[Entry], ahead: int, world: int) -> None:
    """Neither the samples nor the order of the batches, whoever reads them first."""
    dataset = SliceDataset(entries, AUGMENTED)
    plain, read = (islice(dataset.batches(4, 4, world - 1, world, ahead=n), 6) for n in (0, ahead))
    for expected, found in zip(plain, read, strict=True):
        assert_equal(found, expected)


def test_without_reading_ahead_no_thread_is_started_and_with_it_no_more_than_asked(entries: list[Entry]) -> None:
    readers: set[int] = set()

    class Watched(SliceDataset):
        def batch(self, indices: Sequence[int]) -> Batch:
            readers.add(threading.get_ident())
            return super().batch(indices)

    for ahead in (0, 2):
        readers.clear()
        batches = Watched(entries, CONFIG).batches(0, 2, ahead=ahead)
        list(islice(batches, 8))
        batches.close()
        assert (threading.get_ident() in readers) == (ahead == 0)
        assert len(readers) <= max(1, ahead)


def test_a_caller_who_stops_early_is_not_kept_waiting_for_what_was_read_ahead(entries: list[Entry]) -> None:
    before = threading.active_count()
    batches = SliceDataset(entries, CONFIG).batches(0, 2, ahead=3)
    next(batches)
    batches.close()
    assert threading.active_count() == before


def test_batches_can_start_anywhere(entries: list[Entry]) -> None:
    dataset = SliceDataset(entries, CONFIG)
    third = list(islice(dataset.batches(0, 4), 3))[2]
    assert_equal(third, next(dataset.batches(8, 4)))
    assert third.index == (8, 9, 10, 11)


def test_a_batch_has_the_contracts_shapes(entries: list[Entry]) -> None:
    batch = SliceDataset(entries, CONFIG).batch([0, 1, 2])
    assert batch.images.shape == (3, 4, 1, 32, 32)
    assert batch.mask.shape == batch.lesion.shape == (3, 1, 1, 32, 32)
    assert (batch.images.dtype, batch.mask.dtype, batch.lesion.dtype) == (torch.float32, torch.bool, torch.bool)
    assert batch.present.shape == (3, 4)
    assert batch.present.all()
    assert not (batch.lesion & ~batch.mask).any()


def test_a_slice_must_be_large_enough_in_each_contrast(tmp_path: Path) -> None:
    images, _ = tiny.images(0)
    flair = images["flair"].copy()
    flair[:, :, 6] = 0  # one slice was lost in one contrast
    tiny.draw_case(tmp_path / "cohort", "Tiny_0", flair=flair)
    (entry,) = cached(find_cases(tmp_path / "cohort"), CONFIG.contrasts, tmp_path / "cache")
    dataset = SliceDataset([entry], CONFIG)
    area = np.stack([(images[c] != 0).sum(axis=(0, 1)) for c in tiny.CONTRASTS]) * tiny.SPACING**2
    large = [z for z in np.flatnonzero((area > 2000).all(axis=0)) if z != 6]
    assert [z + entry.box[2][0] for _, z in dataset.places] == large
    assert 0 < len(large) < 11


def test_the_limit_itself_is_not_large_enough(entries: list[Entry]) -> None:
    least = float(entries[0].area.min(axis=0).max())
    assert len(SliceDataset(entries[:1], replace(CONFIG, min_area=np.nextafter(least, 0)))) >= 1
    with pytest.raises(UserError, match="no slice to train on"):
        SliceDataset(entries[:1], replace(CONFIG, min_area=least))


def test_cases_that_lack_a_contrast_are_left_out_by_name(entries: list[Entry], tmp_path: Path) -> None:
    tiny.draw_case(tmp_path / "cohort", "Part", t1ce=None)
    part = cached(find_cases(tmp_path / "cohort"), CONFIG.contrasts, tmp_path / "cache")
    dataset = SliceDataset([*part, *entries], CONFIG)
    assert dataset.left_out == ("Part",)
    assert len(dataset) == len(SliceDataset(entries, CONFIG))
    with pytest.raises(UserError, match="0 cases have all of T1, T1ce, T2, FLAIR"):
        SliceDataset(part, CONFIG)


def test_slice_max_units_span_minus_one_to_one_in_each_slice(entries: list[Entry]) -> None:
    images, mask, _ = SliceDataset(entries, replace(CONFIG, extent=160.0)).sample(3)
    assert (images.amin((1, 2, 3)) == -1).all()
    torch.testing.assert_close(images.amax((1, 2, 3)), torch.ones(4))
    assert (images[:, ~mask[0]] == -1).all()


def test_slice_max_units_are_those_of_the_file(entries: list[Entry]) -> None:
    """At the file's own resolution: 2 x / max - 1 of the raw slice, but for what float16 rounds."""
    dataset = SliceDataset(entries[:1], replace(CONFIG, size=48))
    entry, z = dataset.place(0)
    raw, _ = tiny.images(0)
    expected = np.stack([raw[c][::-1, ::-1, z + entry.box[2][0]] for c in tiny.CONTRASTS])
    expected = 2 * expected / expected.max(axis=(1, 2), keepdims=True) - 1
    np.testing.assert_allclose(dataset.sample(0)[0][:, 0], expected, atol=4e-3)


def test_volume_units_are_normalised_units_times_two_minus_one(entries: list[Entry]) -> None:
    dataset = SliceDataset(entries[:1], replace(CONFIG, size=48, units="volume"))
    entry, z = dataset.place(0)
    images, mask, _ = dataset.sample(0)
    np.testing.assert_allclose(images[:, mask[0]], 2 * entry.images(z)[:, entry.mask(z)].astype(np.float32) - 1)
    assert (images[:, ~mask[0]] == -1).all()


def test_contrasts_come_in_the_recipes_order(entries: list[Entry]) -> None:
    usual, turned = (
        SliceDataset(entries, replace(CONFIG, contrasts=c)).sample(0)[0] for c in (CONFIG.contrasts, ("FLAIR", "T2"))
    )
    assert torch.equal(turned, usual[[3, 2]])


@pytest.mark.parametrize("slab_size", [2, 3, 4, 5])
def test_a_slab_holds_the_neighbours_and_nothing_beyond_the_box(entries: list[Entry], slab_size: int) -> None:
    """The slice itself is number K // 2, of even slabs too."""
    entry = entries[0]
    thick, thin = replace(CONFIG, slab=slab_size), CONFIG
    depth = entry.box[2][1] - entry.box[2][0]
    for z in (0, 3, depth - 1):
        slab = read_slab(entry, z, thick)
        for k, neighbour in enumerate(range(z - slab_size // 2, z + slab_size - slab_size // 2)):
            for part, tensor in enumerate(slab):
                inside = 0 <= neighbour < depth
                single = read_slab(entry, neighbour, thin)[part] if inside else torch.zeros_like(tensor[:, :1])
                assert torch.equal(tensor[:, k : k + 1], single)


def test_a_reader_that_fails_is_not_hidden(entries: list[Entry], tmp_path: Path) -> None:
    gone = replace(entries[0], folder=tmp_path / "gone")
    for ahead in (0, 1, 3):
        with pytest.raises(UserError, match="a cached case is damaged"):
            next(SliceDataset([gone], CONFIG).batches(0, 2, ahead=ahead))


def test_a_case_without_a_segmentation_does_not_pass_for_a_healthy_one(entries: list[Entry]) -> None:
    bare = [replace(entries[0], segmented=False), *entries[1:]]
    dataset = SliceDataset(bare, CONFIG)
    assert dataset.left_out == (entries[0].id,)
    assert entries[0].id not in {e.id for e, _ in dataset.places}
    assert SliceDataset(bare, replace(CONFIG, lesion=False)).left_out == ()


@pytest.mark.parametrize(("slab", "made", "first"), [(1, 1, 0), (3, 1, 1), (4, 2, 1), (4, 4, 0), (6, 2, 2), (7, 3, 2)])
def test_the_slices_that_are_made_lie_in_the_middle_of_a_slab(slab: int, made: int, first: int) -> None:
    config = replace(CONFIG, slab=slab, made=made)
    assert config.first == first
    assert first <= slab // 2 < first + made  # the slice that the slab is read around is among them


@pytest.mark.parametrize(("slab", "made"), [(4, 1), (3, 2), (1, 2), (2, 4), (3, 0), (3, -1)])
def test_what_has_no_middle_in_a_slab_is_refused(slab: int, made: int) -> None:
    with pytest.raises(UserError, match=f"of slabs of {slab} slices {made} cannot be made") as caught:
        _ = replace(CONFIG, slab=slab, made=made).first
    assert "slab 4 and made 2" in caught.value.hint
