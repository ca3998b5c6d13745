from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from polycontrast.data import open_dataset
from polycontrast.data.batches import Batch
from polycontrast.data.cache import Entry, cached
from polycontrast.data.configs import PatchConfig
from polycontrast.data.patches import PatchDataset, read_patch, resample, steps, weights_at
from polycontrast.errors import UserError
from polycontrast.io.layout import find_cases

from .. import tiny

CONFIG = PatchConfig(spacing=5.0, size=16, margin=4)  # the drawn cases' own spacing


def assert_equal(a: Batch, b: Batch) -> None:
    assert a.index == b.index
    for name in ("images", "present", "mask", "lesion"):
        assert torch.equal(getattr(a, name), getattr(b, name)), name


def whole(entry: Entry, margin: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The entry's box with a margin of background: images [C, X, Y, Z], mask and lesion [X, Y, Z]."""
    everything = slice(None)
    around = [(margin, margin)] * 3
    images = entry.images(everything).astype(np.float32).transpose(1, 2, 3, 0)
    regions = (f(everything).transpose(1, 2, 0) for f in (entry.mask, entry.lesion))
    return np.pad(images, [(0, 0), *around]), *(np.pad(region, around) for region in regions)


def test_a_batch_has_the_contracts_shapes(entries: list[Entry]) -> None:
    batch = open_dataset(CONFIG, entries).batch([0, 1, 2])
    assert batch.images.shape == (3, 4, 16, 16, 16)
    assert batch.mask.shape == batch.lesion.shape == (3, 1, 16, 16, 16)
    assert (batch.images.dtype, batch.mask.dtype, batch.lesion.dtype) == (torch.float32, torch.bool, torch.bool)
    assert batch.present.shape == (3, 4)
    assert batch.present.all()
    assert batch.dims == 3
    assert not (batch.lesion & ~batch.mask).any()


@pytest.mark.parametrize("size", [15, 16])
def test_at_the_files_own_spacing_a_patch_is_a_part_of_the_volume(entries: list[Entry], size: int) -> None:
    """Twice the normalised value less one, background beyond the box, axes right, anterior, superior."""
    dataset = PatchDataset(entries, replace(CONFIG, size=size))
    for index in range(6):
        entry, centre = dataset.place(index)
        batch = dataset.batch([index])
        x, y, z = (slice(c + size - size // 2, c + size - size // 2 + size) for c in centre)
        images, mask, lesion = whole(entry, size)
        np.testing.assert_array_equal(batch.images[0], 2 * images[:, x, y, z] - 1)
        np.testing.assert_array_equal(batch.mask[0, 0], mask[x, y, z])
        np.testing.assert_array_equal(batch.lesion[0, 0], lesion[x, y, z])


def test_background_is_minus_one_and_the_centre_is_brain(entries: list[Entry]) -> None:
    batch = PatchDataset(entries, CONFIG).batch(range(20))
    assert (batch.images[~batch.mask.expand_as(batch.images)] == -1).all()
    assert batch.mask[:, 0, 8, 8, 8].all()


def test_a_sample_depends_on_its_index_alone(entries: list[Entry]) -> None:
    """Not on what was asked for before, nor on the batch it is in."""
    forward, backward = (PatchDataset(entries, CONFIG, seed=7) for _ in range(2))
    indices = [0, 1, 5, 40, 90]
    seen = {i: forward.batch([i]) for i in indices}
    for i in reversed(indices):
        assert_equal(backward.batch([i]), seen[i])
    assert torch.equal(forward.batch([90, 5]).images[1], seen[5].images[0])


def test_another_seed_and_another_pass_are_other_patches(entries: list[Entry]) -> None:
    n = len(PatchDataset(entries, CONFIG))
    places = [[PatchDataset(entries, CONFIG, seed).place(i + first)[1] for i in range(n)]
              for seed, first in ((0, 0), (0, 0), (1, 0), (0, n))]  # fmt: skip
    assert places[0] == places[1]
    assert places[0] != places[2]
    assert places[0] != places[3]


def test_two_ranks_together_draw_what_one_process_draws(entries: list[Entry]) -> None:
    one = islice(PatchDataset(entries, CONFIG).batches(8, 4), 2)
    ranks = [islice(PatchDataset(entries, CONFIG).batches(8, 4, rank, 2), 2) for rank in range(2)]
    for together, *parts in zip(one, *ranks, strict=True):
        assert torch.equal(together.images, torch.cat([part.images for part in parts]))


def test_a_pass_shows_each_case_as_often_as_patches_fit_its_brain(entries: list[Entry]) -> None:
    for size, least in ((16, 1), (6, 10), (100, 1)):
        dataset = PatchDataset(entries, replace(CONFIG, size=size, margin=1))
        expected = {e.id: max(1, round(int(e.mask(slice(None)).sum()) / size**3)) for e in entries}
        shown = Counter(dataset.place(i)[0].id for i in range(len(dataset)))
        assert shown == expected
        assert min(expected.values()) >= least


def test_centres_are_spread_evenly_over_the_brain(entries: list[Entry]) -> None:
    dataset = PatchDataset(entries[:1], CONFIG)
    centres = np.array([dataset.place(i)[1] for i in range(800)])
    inside = np.argwhere(entries[0].mask(slice(None)).transpose(1, 2, 0))
    np.testing.assert_allclose(centres.mean(0), inside.mean(0), atol=0.15 * inside.std(0).max())
    np.testing.assert_allclose(centres.std(0), inside.std(0), rtol=0.1)


def test_no_more_is_read_than_a_patch_needs(entries: list[Entry], monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    plain = Entry.images

    def spy(self: Entry, part: Any) -> np.ndarray:
        read.append(plain(self, part).size)
        return plain(self, part)

    monkeypatch.setattr(Entry, "images", spy)
    PatchDataset(entries, replace(CONFIG, size=4, margin=1)).batch([0])
    assert len(read) == 1
    assert read[0] <= 4 * 8**3


def test_contrasts_come_in_the_recipes_order(entries: list[Entry]) -> None:
    usual, turned = (PatchDataset(entries, replace(CONFIG, contrasts=c)).batch([0]).images
                     for c in (CONFIG.contrasts, ("FLAIR", "T2")))  # fmt: skip
    assert torch.equal(turned, usual[:, [3, 2]])


def test_a_coarser_patch_shows_the_same_brain_smaller(entries: list[Entry]) -> None:
    """Its values are means of the file's; as much of the volume is brain; nothing moves."""
    entry, centre = PatchDataset(entries, CONFIG).place(0)
    fine, mask, _ = read_patch(entry, centre, replace(CONFIG, size=96))
    coarse, small, _ = read_patch(entry, centre, replace(CONFIG, size=32, spacing=15.0))
    assert float(small.sum()) * 27 == pytest.approx(float(mask.sum()), rel=0.1)
    assert float((coarse + 1).sum()) * 27 == pytest.approx(float((fine + 1).sum()), rel=1e-4)
    for i in range(4):
        middles = [_middle((image[i] + 1).numpy(), spacing) for image, spacing in ((fine, 5.0), (coarse, 15.0))]
        np.testing.assert_allclose(*middles, atol=1.0)


def test_a_patch_finer_than_the_file_lies_between_its_voxels(entries: list[Entry]) -> None:
    entry, centre = PatchDataset(entries, CONFIG).place(0)
    plain, _, _ = read_patch(entry, centre, replace(CONFIG, size=6))
    fine, _, _ = read_patch(entry, centre, replace(CONFIG, size=11, spacing=2.5))
    at = slice(1, None, 2)  # voxel 5 of 11 and voxel 3 of 6 lie on the centre
    torch.testing.assert_close(fine[:, at, at, at], plain[:, 1:, 1:, 1:])
    between = (plain[:, 1:-1, 1:, 1:] + plain[:, 2:, 1:, 1:]) / 2
    torch.testing.assert_close(fine[:, 2:-1:2, at, at], between)


def test_spacings_that_differ_by_rounding_are_equal() -> None:
    assert steps((1.0, 0.99999994, 2.0), 1.0) == (1.0, 1.0, 0.5)


@given(n=st.integers(1, 12), step=st.floats(0.2, 5))
def test_weights_share_out_every_voxel_and_keep_constants(n: int, step: float) -> None:
    """Inside the axis the weights of each value sum to 1, whatever the step."""
    reach = (max(step, 1.0) + 1) / 2
    at = np.arange(-10, 10) * step + n / 2
    weights = weights_at(at, step, n)
    assert (weights >= 0).all()
    inside = (at >= reach - 1) & (at <= n - reach)
    np.testing.assert_allclose(weights[inside].sum(1), 1, atol=1e-6)
    assert (weights.sum(1) <= 1 + 1e-6).all()
    assert not weights[(at <= -reach) | (at >= n - 1 + reach)].any()


def test_weights_are_means_over_a_step_and_the_voxel_itself_at_step_one() -> None:
    np.testing.assert_allclose(weights_at(np.array([0.5, 2.5]), 2.0, 4), [[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]])
    np.testing.assert_allclose(weights_at(np.array([1.0]), 1.5, 3), [[1 / 6, 2 / 3, 1 / 6]], rtol=1e-6)
    np.testing.assert_array_equal(weights_at(np.arange(4.0), 1.0, 4), np.eye(4))


def test_resampling_keeps_the_axes_apart() -> None:
    array = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype(np.float32)
    turned = resample(array, [np.eye(3)[::-1], np.eye(4), np.eye(5)[[0, 2]]])
    np.testing.assert_array_equal(turned, array[:, ::-1][..., [0, 2]])


def test_cases_that_lack_a_contrast_are_left_out_by_name(entries: list[Entry], tmp_path: Path) -> None:
    tiny.draw_case(tmp_path / "cohort", "Part", t1ce=None)
    part = cached(find_cases(tmp_path / "cohort"), CONFIG.contrasts, tmp_path / "cache")
    dataset = PatchDataset([*part, *entries], CONFIG)
    assert dataset.left_out == ("Part",)
    assert dataset.cases == tuple(e.id for e in entries)
    with pytest.raises(UserError, match="none of 1 has all of T1, T1ce, T2, FLAIR"):
        PatchDataset(part, CONFIG)


def test_a_case_without_a_segmentation_does_not_pass_for_a_healthy_one(entries: list[Entry]) -> None:
    bare = [replace(entries[0], segmented=False), *entries[1:]]
    assert PatchDataset(bare, replace(CONFIG, lesion=True)).left_out == (entries[0].id,)
    assert PatchDataset(bare, CONFIG).left_out == ()


@pytest.mark.parametrize(("size", "margin"), [(16, 8), (16, 9), (16, -1)])
def test_margins_that_leave_nothing_are_refused(entries: list[Entry], size: int, margin: int) -> None:
    with pytest.raises(UserError, match=f"patches of {size} voxels"):
        PatchDataset(entries, replace(CONFIG, size=size, margin=margin))


def test_examples_are_named_and_units_exact(entries: list[Entry]) -> None:
    dataset = PatchDataset(entries, CONFIG)
    batch, names = dataset.examples(3)
    assert batch.images.shape[0] == len(names) == 3
    assert set(names) <= {e.id for e in entries}
    assert dataset.units() == dict.fromkeys(CONFIG.contrasts, (0.5, 0.5))


def _middle(image: np.ndarray, spacing: float) -> Sequence[float]:
    """The centre of mass, mm from the patch's centre."""
    at = [(np.arange(n) - n // 2) * spacing for n in image.shape]
    sums = [image.sum(axis=tuple(a for a in range(3) if a != axis)) for axis in range(3)]
    return [float((s * a).sum() / s.sum()) for s, a in zip(sums, at, strict=True)]
