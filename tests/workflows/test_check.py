"""check_case finds, in one case, what would stop a training later."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from polycontrast.io.layout import Case, find_cases
from polycontrast.workflows.check import check_case

from .. import tiny


def drawn(folder: Path, **changed: np.ndarray | None) -> Case:
    tiny.draw_case(folder, "P1", **changed)
    (case,) = find_cases(folder)
    return case


def test_a_sound_case_is_described(tmp_path: Path) -> None:
    found = check_case(drawn(tmp_path))
    id, convention, contrasts, segmentation, grid = found.described
    assert (id, convention, contrasts) == ("P1", "case_contrast", "T1 T1ce T2 FLAIR")
    assert grid == "48 x 48 x 12 of 5 x 5 x 5 mm, LPS"
    labels = tiny.images(0)[1]
    sizes = [np.isin(labels, values).sum() * 0.125 for values in ((1, 2, 4), (1, 4), (4,))]
    assert segmentation == "brats: whole {:.1f} core {:.1f} enhancing {:.1f} ml".format(*sizes)
    assert found.problem == ""


def test_a_case_without_segmentation_is_no_problem(tmp_path: Path) -> None:
    found = check_case(drawn(tmp_path, seg=None))
    assert (found.described[3], found.problem) == ("none", "")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"t1": np.full((48, 48, 12), np.inf, np.float32)}, "NaN or infinite (P1_t1.nii.gz)"),
        ({"t1": np.ones((48, 47, 12), np.float32)}, "different grids"),
        ({"seg": np.ones((48, 48, 11), np.uint8)}, "different grids"),
        ({"seg": np.full((48, 48, 12), 0.5, np.float32)}, "whole numbers"),
        ({"seg": np.full((48, 48, 12), 77, np.uint8)}, "77"),
        ({"t1": None, "t1ce": None, "t2": None, "flair": None}, "only a segmentation"),
    ],
)
def test_a_problem_is_told(tmp_path: Path, changed: dict[str, np.ndarray | None], words: str) -> None:
    assert words in check_case(drawn(tmp_path, **changed)).problem


def test_an_absent_file_is_told(tmp_path: Path) -> None:
    case = drawn(tmp_path)
    gone = replace(case, contrasts={**case.contrasts, "T1": tmp_path / "gone_t1.nii.gz"})
    assert check_case(gone).problem == "no such file (gone_t1.nii.gz)"


def test_headers_alone_are_read_if_asked(tmp_path: Path) -> None:
    case = drawn(tmp_path, t1=np.full((48, 48, 12), np.nan, np.float32))
    assert check_case(case, voxels=False).problem == ""
    assert check_case(case, voxels=False).described[3] == "brats"


def test_a_head_that_is_not_stripped_is_told_and_no_problem(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).uniform(1, 2, (48, 48, 12)).astype(np.float32)
    case = drawn(tmp_path, **dict.fromkeys(("t1", "t1ce", "t2", "flair"), noise))
    found = check_case(case)
    assert found.problem == ""
    assert any("strip the skull" in flag for flag in found.flags)
    assert check_case(case, voxels=False).flags == ()
