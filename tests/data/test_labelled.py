"""Labelled slices: which image a sample is, what it is told, and that cohorts alternate alike for every rank."""

from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from polycontrast.data import open_dataset
from polycontrast.data.augment import Augmentation
from polycontrast.data.cache import Entry, cached
from polycontrast.data.configs import DataConfig
from polycontrast.data.dataset import SliceDataset, read_sample
from polycontrast.data.labelled import LabelledSlices
from polycontrast.data.units import fit_units
from polycontrast.errors import UserError
from polycontrast.io.layout import find_cases

from .. import tiny
from ..batches import assert_equal, joined

FOUR = ("T1", "T1ce", "T2", "FLAIR")
SECOND = ("T1", "T2", "PD")
ONE = DataConfig(size=32, min_area=2000.0, units="volume", lesion=False, labels=(FOUR,))
TWO = replace(ONE, contrasts=(*FOUR, "PD"), labels=(FOUR, SECOND))


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> list[Entry]:
    """A cohort of two cases with T1, T2 and PD; the second has no T1."""
    folder = tmp_path_factory.mktemp("others")
    for number in range(2):
        images, _ = tiny.images(10 + number)
        gone = {"t1ce": None, "flair": None} | ({"t1": None} if number else {})
        tiny.draw_case(folder, f"Other_{number}", seed=10 + number, pd=images["flair"], **gone)
    return cached(find_cases(folder), TWO.contrasts, cache)


@pytest.fixture
def two(entries: list[Entry], others: list[Entry]) -> LabelledSlices:
    return LabelledSlices([entries, others], TWO, batch_size=4)


def test_a_sample_is_one_image_that_its_label_names(two: LabelledSlices) -> None:
    names = [*FOUR, *SECOND]
    for start in (0, 4):
        batch = two.batch(range(start, start + 4))
        assert batch.images.shape == (4, 1, 1, 32, 32)
        assert batch.present.shape == (4, 1)
        assert batch.labels is not None
        assert torch.equal(batch.labels.sum(1), torch.ones(4))
        for i, label in enumerate(batch.labels.argmax(1).tolist()):
            place, _ = two.shown(start + i)[1]
            expected, _, _ = read_sample(place, replace(TWO, contrasts=(names[label],)), 0, start + i)
            assert torch.equal(batch.images[i], expected)


def test_labels_and_targets_lie_in_the_part_of_the_samples_own_cohort(two: LabelledSlices) -> None:
    for start, cohort, known in ((0, 0, [1, 1, 1, 1, 0, 0, 0]), (4, 1, [0, 0, 0, 0, 1, 1, 1])):
        batch = two.batch(range(start, start + 4))
        assert batch.labels is not None
        assert batch.targets is not None
        assert batch.known is not None
        assert batch.dataset is not None
        assert batch.dataset.tolist() == [cohort] * 4
        assert torch.equal(batch.known, torch.tensor([known] * 4, dtype=torch.bool))
        for one_hot in (batch.labels, batch.targets):
            assert torch.equal(one_hot.sum(1), torch.ones(4))
            assert not one_hot[~batch.known].any()


def test_the_cohorts_alternate_by_batch(two: LabelledSlices) -> None:
    seen = [batch.dataset.tolist() for batch in islice(two.batches(0, 4), 5) if batch.dataset is not None]
    assert seen == [[0] * 4, [1] * 4, [0] * 4, [1] * 4, [0] * 4]


def test_each_cohort_passes_over_all_its_own_images(two: LabelledSlices) -> None:
    """Also where a pass ends within a batch; so the small cohort is seen more often."""
    for cohort, (labels, cases) in enumerate([(range(4), 4), (range(4, 7), 2)]):
        mine = [i for i in range(8 * len(two)) if two.shown(i)[0] == cohort]
        images = {(place[0].id, place[1], label) for _, (place, label) in map(two.shown, mine)}
        n = len(images)
        first = [two.shown(i)[1] for i in mine[:n]]
        assert {(place[0].id, place[1], label) for place, label in first} == images
        assert {label for _, _, label in images} == set(labels)
        assert len({case for case, _, _ in images}) == cases


def test_ranks_share_a_batch_of_one_cohort_and_draw_what_one_process_draws(
    entries: list[Entry], others: list[Entry]
) -> None:
    config = replace(TWO, augmentation=Augmentation())
    one, *ranks = (LabelledSlices([entries, others], config, batch_size=4, seed=3) for _ in range(3))
    whole = islice(one.batches(8, 4), 3)
    parts = [islice(data.batches(8, 4, rank, 2), 3) for rank, data in enumerate(ranks)]
    for batch, *shares in zip(whole, *parts, strict=True):
        assert_equal(batch, joined(shares))


def test_a_resumed_run_goes_on_with_the_cohort_that_is_next(two: LabelledSlices) -> None:
    fourth = list(islice(two.batches(0, 4), 4))[3]
    assert_equal(fourth, next(two.batches(12, 4)))


def test_targets_are_distributed_as_the_labels_and_belong_to_the_index(two: LabelledSlices) -> None:
    mine = [i for i in range(6000) if two.shown(i)[0] == 1]
    drawn, shown = (np.bincount(x, minlength=7) / len(mine) for x in (
        [two.target(i) for i in mine], [two.shown(i)[1][1] for i in mine]
    ))  # fmt: skip
    np.testing.assert_allclose(drawn, shown, atol=0.03)
    assert shown[4] < 0.7 * shown[5]  # one of the two cases has no T1
    assert len({(two.shown(i)[1][1], two.target(i)) for i in mine}) == 9  # a target says nothing about the label


def test_another_seed_draws_other_images_and_targets(entries: list[Entry]) -> None:
    drawn = []
    for seed in (0, 0, 1):
        data = LabelledSlices(entries, ONE, seed=seed)
        drawn.append([[data.target(i) for i in range(40)], [data.shown(i)[1][0][1] for i in range(40)]])
    assert drawn[0] == drawn[1]
    assert all(a != b for a, b in zip(drawn[0], drawn[2], strict=True))


def test_one_cohort_may_be_given_as_its_cases(entries: list[Entry]) -> None:
    plain, nested = (open_dataset(ONE, source, 2, 4).batch(range(4)) for source in (entries, [entries]))
    assert_equal(plain, nested)
    assert isinstance(open_dataset(ONE, entries), LabelledSlices)


def test_the_number_of_cohorts_must_be_that_of_the_sets_of_labels(entries: list[Entry]) -> None:
    with pytest.raises(UserError, match="found 1 cohorts, the recipe has labels of 2"):
        LabelledSlices(entries, TWO)


def test_a_label_that_no_case_can_show_is_refused(entries: list[Entry]) -> None:
    with pytest.raises(UserError, match="0 cases have all of PD"):
        LabelledSlices([entries, entries], TWO)


def test_a_slice_must_be_large_in_its_own_contrast_alone(entries: list[Entry]) -> None:
    area = entries[0].area.copy()
    area[2, :] = 0
    odd = replace(entries[0], area=area)
    data = LabelledSlices([odd, *entries[1:]], ONE)
    labels = {label for place, label in data._shown[0] if place[0] is odd}
    assert labels == {0, 1, 3}


def test_cases_of_no_use_are_left_out_by_name(entries: list[Entry], others: list[Entry]) -> None:
    bare = replace(entries[0], segmented=False)
    strange = replace(others[0], contrasts=("DIR",), id="Strange")
    data = LabelledSlices([[bare, *entries[1:]], [strange, *others]], replace(TWO, lesion=True))
    assert data.left_out == (entries[0].id, "Strange")
    assert data.cases == tuple(e.id for e in (*entries[1:], *others))


def test_examples_are_whole_slices_of_the_first_cohort_and_claim_nothing_it_lacks(
    two: LabelledSlices, entries: list[Entry]
) -> None:
    batch, cases = two.examples(3)
    plain, same = SliceDataset(entries, replace(ONE, labels=())).examples(3)
    assert cases == same
    assert torch.equal(batch.images[:, :4], plain.images)
    assert batch.present.tolist() == [[True] * 4 + [False]] * 3


def test_examples_are_of_the_first_cohort_and_the_case_that_show_what_is_asked_for(
    two: LabelledSlices, others: list[Entry]
) -> None:
    for have, shown in ((("PD",), [1, 0, 1, 0, 1]), (("FLAIR", "PD"), [1, 1, 1, 1, 0]), (("DIR",), [1, 1, 1, 1, 0])):
        batch, _ = two.examples(2, have)
        assert batch.present.tolist() == [[bool(x) for x in shown]] * 2
    config = replace(ONE, contrasts=SECOND, labels=(SECOND,))
    only = replace(others[0], contrasts=("T1",), area=others[0].area[:1])  # the other one has more, but no T1
    batch, cases = LabelledSlices([only, others[1]], config).examples(1, ("T1",))
    assert batch.present.tolist() == [[True, False, False]]
    assert cases == ["Other_0"]


def test_a_cohort_of_incomplete_cases_shows_what_the_fullest_one_has(others: list[Entry]) -> None:
    config = replace(ONE, contrasts=SECOND, labels=(SECOND,))
    poorer = replace(others[0], contrasts=("T1",), area=others[0].area[:1])
    batch, cases = LabelledSlices([poorer, others[1]], config).examples(2)
    assert batch.present.tolist() == [[False, True, True]] * 2
    assert set(cases) == {"Other_1"}


def test_volume_units_are_exact_and_slice_units_those_of_the_first_cohort_that_has_them(
    two: LabelledSlices, entries: list[Entry], others: list[Entry]
) -> None:
    assert two.units() == dict.fromkeys(TWO.contrasts, (0.5, 0.5))
    slice_max = replace(TWO, units="slice-max")
    found = LabelledSlices([entries, others], slice_max).units()
    assert set(found) == set(TWO.contrasts)
    for name, cohort in (("T2", entries), ("PD", others)):
        assert found[name] == fit_units(cohort, replace(slice_max, contrasts=(name,)))[name]
