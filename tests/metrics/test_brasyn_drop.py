"""BraSyn's drop list is the challenge's own, and its folders hold what they should, however often they are written."""
# ruff: noqa: NPY002  # the public script draws from numpy's global generator

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polycontrast.contrasts import slug
from polycontrast.errors import UserError
from polycontrast.io.layout import Case, find_cases
from polycontrast.metrics.brasyn import NAMES, official_drops, pseudo_validation, submission
from polycontrast.metrics.tables import Failure

from .. import tiny

IDS = ("BraTS-GLI-00001-000", "BraTS-GLI-00002-000", "Odd_name_3")
names = st.lists(st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1), unique=True)


@pytest.fixture(name="cases", scope="module")
def _cases(tmp_path_factory: pytest.TempPathFactory) -> list[Case]:
    folder = tmp_path_factory.mktemp("cohort")
    for seed, case in enumerate(IDS):
        tiny.draw_case(folder, case, seed)
    return find_cases(folder)


def content(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Every file below a folder: its bytes, and when it was written."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(p.relative_to(folder)): (p.read_bytes(), p.stat().st_mtime_ns) for p in files}


def drawn_by_the_public_script(ids: list[str]) -> dict[str, str]:
    """As drop_modality.py has it: the names sorted, the global generator seeded, one of four names a case."""
    state = np.random.get_state()
    try:
        np.random.seed(123456)
        folders, contrasts = sorted(ids), ["t1c", "t1n", "t2f", "t2w"]
        index = np.random.randint(0, 4, size=len(folders))
    finally:
        np.random.set_state(state)
    return {case: contrasts[index[i]] for i, case in enumerate(folders)}


@given(names)
def test_the_drop_list_is_the_public_scripts_whatever_the_order_of_the_cases(ids):
    expected = drawn_by_the_public_script(ids)
    for order in (ids, ids[::-1]):
        drops = official_drops(order)
        assert {case: NAMES[contrast] for case, contrast in drops.items()} == expected
        assert list(drops) == sorted(ids)


def test_the_first_drops_by_hand():
    drops = official_drops(f"BraTS-GLI-{i:05d}-000" for i in range(8))
    assert [NAMES[contrast] for contrast in drops.values()] == ["t1n", "t2f", "t2f", "t1n", "t1c", "t2w", "t2w", "t2w"]


def test_the_drop_list_leaves_the_global_generator_alone():
    np.random.seed(7)
    expected = np.random.random(3)
    np.random.seed(7)
    official_drops(IDS)
    np.testing.assert_array_equal(np.random.random(3), expected)


def test_the_challenge_names_the_contrasts():
    assert NAMES == {"T1ce": "t1c", "T1": "t1n", "FLAIR": "t2f", "T2": "t2w"}


class TestPseudoValidation:
    def test_holds_every_image_but_the_dropped_one_and_no_segmentation(self, cases, tmp_path):
        drops = official_drops(IDS)
        pseudo_validation(cases, drops, tmp_path / "out")
        expected = {
            f"{case}/{case}-{name}.nii.gz"
            for case in IDS
            for contrast, name in NAMES.items()
            if contrast != drops[case]
        }
        assert set(content(tmp_path / "out")) == expected

    def test_files_are_the_cases_own_to_the_byte_and_can_be_found_again(self, cases, tmp_path):
        pseudo_validation(cases, official_drops(IDS), tmp_path)
        originals = {case.id: case.contrasts for case in cases}
        found = find_cases(tmp_path)
        assert [case.id for case in found] == sorted(IDS)
        for case in found:
            assert len(case.contrasts) == 3
            for contrast, path in case.contrasts.items():
                assert path.read_bytes() == originals[case.id][contrast].read_bytes()

    def test_a_second_run_changes_nothing(self, cases, tmp_path):
        pseudo_validation(cases, official_drops(IDS), tmp_path)
        before = content(tmp_path)
        pseudo_validation(cases, official_drops(IDS), tmp_path)
        assert content(tmp_path) == before

    def test_an_interrupted_run_is_completed(self, cases, tmp_path):
        pseudo_validation(cases, official_drops(IDS), tmp_path)
        before = {name: file for name, (file, _) in content(tmp_path).items()}
        torn, lost, *_ = sorted(tmp_path.rglob("*.nii.gz"))
        torn.write_bytes(torn.read_bytes()[:99])
        lost.unlink()
        pseudo_validation(cases, official_drops(IDS), tmp_path)
        assert {name: file for name, (file, _) in content(tmp_path).items()} == before

    def test_the_dropped_contrast_is_never_left_in_the_folder(self, cases, tmp_path):
        pseudo_validation(cases, dict.fromkeys(IDS, "T1"), tmp_path)
        before = content(tmp_path)
        with pytest.raises(UserError, match="withheld") as error:
            pseudo_validation(cases, dict.fromkeys(IDS, "T2"), tmp_path)
        assert error.value.path == tmp_path / IDS[0] / f"{IDS[0]}-t2w.nii.gz"
        assert content(tmp_path) == before

    def test_the_cohort_itself_is_refused_and_stays_as_it_was(self, cases, tmp_path):
        for case in cases:
            for contrast, path in case.contrasts.items():
                there = tmp_path / case.id / f"{case.id}-{NAMES[contrast]}.nii.gz"
                there.parent.mkdir(exist_ok=True)
                there.write_bytes(path.read_bytes())
        before = content(tmp_path)
        with pytest.raises(UserError, match="withheld"):
            pseudo_validation(find_cases(tmp_path), official_drops(IDS), tmp_path)
        assert content(tmp_path) == before

    def test_an_uncompressed_image_is_handed_out_compressed(self, tmp_path):
        image = tiny.images(0)[0]["t2"]
        tiny.write(tmp_path / "in" / "P1" / "P1_t2.nii", image)
        pseudo_validation(find_cases(tmp_path / "in"), {"P1": "T1"}, tmp_path / "out")
        written = nib.load(tmp_path / "out" / "P1" / "P1-t2w.nii.gz")
        np.testing.assert_array_equal(written.get_fdata(dtype=np.float32), image)
        np.testing.assert_array_equal(written.affine, tiny.LPS)


class TestSubmission:
    @pytest.fixture(name="synthetic")
    def _synthetic(self, tmp_path):
        """A synthetic volume of every contrast of every case, with negative values."""
        for i, case in enumerate(IDS):
            for contrast in NAMES:
                image = np.random.default_rng(i).normal(0.3, 0.4, (48, 48, 12)).astype(np.float32)
                tiny.write(tmp_path / "synthetic" / case / f"{case}_{slug(contrast)}_synth.nii.gz", image)
        return tmp_path / "synthetic"

    @pytest.fixture(name="find")
    def _find(self, synthetic):
        def find(case: str, contrast: str) -> Path:
            path = synthetic / case / f"{case}_{slug(contrast)}_synth.nii.gz"
            if not path.exists():
                raise UserError("no prediction")
            return path

        return find

    def test_holds_the_dropped_contrast_of_each_case_as_it_was_written(self, cases, find, tmp_path):
        drops = official_drops(IDS)
        assert submission(cases, drops, find, tmp_path / "out") == []
        written = content(tmp_path / "out")
        assert set(written) == {f"{case}-{NAMES[drops[case]]}.nii.gz" for case in IDS}
        for case, contrast in drops.items():
            assert written[f"{case}-{NAMES[contrast]}.nii.gz"][0] == find(case, contrast).read_bytes()

    def test_a_missing_prediction_is_told_and_the_rest_is_written(self, cases, find, tmp_path):
        drops = official_drops(IDS)
        submission(cases, drops, find, tmp_path / "out")  # an older volume must not be taken for this run's
        find(IDS[1], drops[IDS[1]]).unlink()
        assert submission(cases, drops, find, tmp_path / "out") == [Failure(IDS[1], drops[IDS[1]], "no prediction")]
        assert set(content(tmp_path / "out")) == {
            f"{case}-{NAMES[drops[case]]}.nii.gz" for case in IDS if case != IDS[1]
        }

    def test_a_second_run_changes_nothing_and_a_new_prediction_is_taken(self, cases, find, tmp_path):
        drops = official_drops(IDS)
        submission(cases, drops, find, tmp_path / "out")
        before = content(tmp_path / "out")
        assert submission(cases, drops, find, tmp_path / "out") == []
        assert content(tmp_path / "out") == before
        tiny.write(find(IDS[0], drops[IDS[0]]), np.ones((48, 48, 12), np.float32))
        submission(cases, drops, find, tmp_path / "out")
        changed = {name for name, file in content(tmp_path / "out").items() if file != before[name]}
        assert changed == {f"{IDS[0]}-{NAMES[drops[IDS[0]]]}.nii.gz"}

    def test_a_real_image_is_never_written_over(self, find, tmp_path):
        case = IDS[0]
        for contrast, name in NAMES.items():
            tiny.write(tmp_path / "flat" / f"{case}-{name}.nii.gz", tiny.images(0)[0][slug(contrast)])
        before = content(tmp_path / "flat")
        with pytest.raises(UserError, match="a real image"):
            submission(find_cases(tmp_path / "flat"), {case: "T1ce"}, find, tmp_path / "flat")
        assert content(tmp_path / "flat") == before
