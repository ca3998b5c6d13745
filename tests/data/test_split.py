"""No subject has two roles; the draw depends on the subjects and the seed alone."""

import re
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polycontrast.data.split import check_together, make_folds, make_split, of_same_subjects, read_roles, subject
from polycontrast.errors import UserError
from polycontrast.io.layout import Case


def case(id: str) -> Case:
    return Case(id, {"T2": Path("x.nii.gz")}, None, "CSV", "brats")


@pytest.mark.parametrize(
    ("id", "expected"),
    [
        ("BraTS-GLI-00012-001", "BraTS-GLI-00012"),
        ("BraTS-MET-00012-000", "BraTS-MET-00012"),
        ("Brats18_CBICA_AOZ_1", "Brats_CBICA_AOZ"),
        ("Brats17_2013_16_1", "Brats_2013_16"),
        ("BraTS19_TCIA01_131_1", "Brats_TCIA_131"),
        ("brats_tcia_pat105_0001", "brats_tcia_pat105"),
        ("HGG_brats_2013_pat0001_1", "HGG_brats_2013_pat0001"),
        ("sub-01_ses-02", "sub-01"),
        ("sub-01", "sub-01"),
        ("BraTS20_Training_001", "BraTS20_Training_001"),
        ("BraTS2021_00001", "BraTS2021_00001"),
        ("P-001", "P-001"),
        ("Patient_1", "Patient_1"),
    ],
)
def test_visits_of_one_subject_are_known_by_their_ids_however_the_files_are_named(id: str, expected: str) -> None:
    assert subject(case(id)) == expected


@pytest.mark.parametrize(
    "ids",
    [
        ["Brats17_CBICA_AQN_1", "Brats18_CBICA_AQN_1", "BraTS18_CBICA_AQN_1", "BraTS19_CBICA_AQN_1"],
        ["HGG_Brats17_CBICA_AQN_1", "brats18_cbica_aqn_1", "LGG_BraTS19_CBICA_AQN_2"],
        ["Brats17_TCIA_425_1", "Brats18_TCIA01_425_1", "BraTS19_TCIA01_425_1"],  # 2017 does not tell the site
    ],
)
def test_a_patient_of_brats_2017_to_2019_is_known_under_every_years_name(ids: list[str]) -> None:
    assert len({subject(id) for id in ids}) == 1
    assert all(of_same_subjects([a], [b]) for a in ids for b in ids)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Brats18_CBICA_AQN_1", "Brats18_CBICA_AQO_1"),
        ("Brats18_2013_2_1", "Brats18_2013_20_1"),
        ("BraTS20_Training_001", "BraTS2021_00001"),
        ("BraTS20_Training_001", "BraTS20_Validation_001"),
        ("HGG_brats_2013_pat0001_1", "LGG_brats_2013_pat0001_1"),
    ],
)
def test_patients_that_an_id_tells_apart_or_cannot_tell_to_be_one_stay_two(one: str, other: str) -> None:
    assert subject(one) != subject(other)
    assert not of_same_subjects([one], [other])


def test_an_id_without_its_grade_may_be_of_either() -> None:
    both = ["HGG_brats_2013_pat0001_1", "LGG_brats_2013_pat0001_1"]
    assert of_same_subjects(both, ["brats_2013_pat0001_1"]) == both
    assert of_same_subjects(["brats_2013_pat0001_2", "brats_2013_pat0002_1"], both[:1]) == ["brats_2013_pat0001_2"]


def test_the_committed_split_leaks_no_patient_under_another_years_name() -> None:
    roles = read_roles(Path(__file__).parents[2] / "splits" / "report55.json")
    assert {role: len(cases) for role, cases in roles.items()} == {"test": 10, "train": 22, "gan": 23}
    assert not any(of_same_subjects(roles[a], roles[b]) for a, b in combinations(roles, 2))


cohorts = st.lists(st.integers(1, 3), min_size=2, max_size=12).map(
    lambda visits: [case(f"BraTS-GLI-{s:05d}-{v:03d}") for s, n in enumerate(visits) for v in range(n)]
)


@given(cases=cohorts, seed=st.integers(0, 5), data=st.data())
def test_every_subject_has_one_role(cases: list[Case], seed: int, data: st.DataObject) -> None:
    subjects = {subject(c) for c in cases}
    test = data.draw(st.integers(0, len(subjects) - 1))
    train = data.draw(st.integers(0, len(subjects) - test - 1))
    split = make_split(cases, {"test": test, "train": train, "gan": -1}, seed)
    assert list(split) == ["test", "train", "gan"]
    assert sorted(c for ids in split.values() for c in ids) == sorted(c.id for c in cases)
    owners = {role: {subject(case(id)) for id in ids} for role, ids in split.items()}
    assert [len(owners[role]) for role in split] == [test, train, len(subjects) - test - train]
    assert not any(owners[a] & owners[b] for a, b in combinations(split, 2))
    assert all(ids == sorted(ids) for ids in split.values())


def test_the_draw_does_not_depend_on_the_order_of_the_files() -> None:
    cases = [case(f"BraTS-GLI-{s:05d}-000") for s in range(20)]
    counts = {"test": 5, "gan": -1}
    assert make_split(cases, counts) == make_split(cases[::-1], counts)
    assert make_split(cases, counts, seed=1) != make_split(cases, counts)


def test_without_a_rest_some_subjects_have_no_role() -> None:
    cases = [case(f"BraTS-GLI-{s:05d}-000") for s in range(5)]
    assert {role: len(ids) for role, ids in make_split(cases, {"test": 2, "gan": 0}).items()} == {"test": 2, "gan": 0}


@pytest.mark.parametrize("counts", [{"a": -1, "b": -1}, {"a": -2}, {"a": 3, "b": 3}, {"a": 5, "b": -1}])
def test_counts_that_cannot_be_met_are_refused(counts: dict[str, int]) -> None:
    with pytest.raises(UserError):
        make_split([case(f"BraTS-GLI-{s:05d}-000") for s in range(5)], counts)


@given(cases=cohorts, seed=st.integers(0, 5), data=st.data())
def test_every_case_is_judged_in_one_fold_by_what_other_subjects_taught(
    cases: list[Case], seed: int, data: st.DataObject
) -> None:
    subjects = {subject(c) for c in cases}
    k = data.draw(st.integers(2, len(subjects)))
    folds = make_folds(cases, k, seed)
    assert len(folds) == k
    assert sorted(c for fold in folds for c in fold["test"]) == sorted(c.id for c in cases)
    for fold in folds:
        assert list(fold) == ["gan", "test"]
        assert all(ids and ids == sorted(ids) for ids in fold.values())
        assert sorted(fold["gan"] + fold["test"]) == sorted(c.id for c in cases)
        assert not {subject(case(id)) for id in fold["gan"]} & {subject(case(id)) for id in fold["test"]}
    sizes = [len({subject(case(id)) for id in fold["test"]}) for fold in folds]
    assert max(sizes) - min(sizes) <= 1


def test_folds_depend_on_the_subjects_and_the_seed_alone() -> None:
    cases = [case(f"BraTS-GLI-{s:05d}-000") for s in range(20)]
    assert make_folds(cases, 5) == make_folds(cases[::-1], 5)
    assert make_folds(cases, 5, seed=1) != make_folds(cases, 5)


@pytest.mark.parametrize(("k", "words"), [(1, "at least 2"), (0, "at least 2"), (4, "4 folds .* 3 subjects are there")])
def test_folds_that_cannot_be_made_are_refused(k: int, words: str) -> None:
    visits = [case(f"BraTS-GLI-{s:05d}-{v:03d}") for s in range(3) for v in range(2)]
    with pytest.raises(UserError) as caught:
        make_folds(visits, k)
    assert re.search(words, str(caught.value))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"gan": ["A", "B"], "test": ["B"]}', "case B has two roles, gan and test"),
        ('{"gan": ["BraTS-GLI-00001-000"], "test": ["BraTS-GLI-00001-001"]}', "one subject .* has two roles"),
        ('{"gan": ["Brats18_CBICA_AQN_1"], "test": ["BraTS19_CBICA_AQN_1"]}', "one subject .* has two roles"),
        ('{"gan": ["HGG_brats_2013_pat0001_1"], "test": ["brats_2013_pat0001_1"]}', "may be a patient of another role"),
        ('{"test": ["A", "B", "A"]}', "case A stands twice under test"),
        ('{"gan": "A"}', "not a split file"),
        ('["A"]', "not a split file"),
    ],
)
def test_a_split_file_that_would_leak_or_says_nothing_is_refused(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "split.json"
    file.write_text(text)
    with pytest.raises(UserError, match=words) as caught:
        read_roles(file)
    assert caught.value.path == file


def test_who_is_trained_on_in_one_cohort_is_not_judged_in_another(tmp_path: Path) -> None:
    one, other = tmp_path / "one.json", tmp_path / "other.json"
    one.write_text('{"gan": ["A", "Brats18_CBICA_AQN_1"], "test": ["B"]}')
    other.write_text('{"gan": ["C", "A"], "test": ["D"], "train": ["E"]}')
    check_together([one, other], "gan")
    other.write_text('{"gan": ["B"]}')
    with pytest.raises(UserError, match="B is trained on as a case of another cohort"):
        check_together([one, other], "gan")
    other.write_text('{"gan": ["C"], "train": ["BraTS19_CBICA_AQN_1"]}')
    with pytest.raises(UserError, match="BraTS19_CBICA_AQN_1") as caught:
        check_together([one, other], "gan")
    assert caught.value.path == other
    check_together([one, other], "gan,train")
