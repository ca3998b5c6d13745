"""polycontrast check: every case told, with what is wrong in it."""

from pathlib import Path

import numpy as np
import pytest

from .. import tiny
from .conftest import Call


def rows(out: str) -> dict[str, dict[str, str]]:
    header, *lines = (line.split("\t") for line in out.splitlines())
    return {line[0]: dict(zip(header, line, strict=True)) for line in lines}


def test_a_sound_cohort_is_listed_with_what_it_holds(call: Call, cohort: Path) -> None:
    answer = call("check", cohort)
    assert answer.code == 0
    assert "4 cases, 0 with a problem" in answer.err
    found = rows(answer.out)
    assert sorted(found) == [f"Tiny_{i}" for i in range(4)]
    row = found["Tiny_1"]
    assert row["contrasts"].split() == ["T1", "T1ce", "T2", "FLAIR"]
    assert row["grid"] == "48 x 48 x 12 of 5 x 5 x 5 mm, LPS"
    assert row["problem"] == ""
    assert (
        row["unusual"]
        == "T1, T1ce, T2, FLAIR: thick slices (5 mm): the models know about 1 mm; resample or acquire thinner slices"
    )
    whole = (tiny.images(1)[1] > 0).sum() * 5**3 / 1000
    assert f"whole {whole:.1f}" in row["segmentation"]


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """One sound case, one cut file, one on two grids, one with NaN, one of which only the segmentation is there."""
    tiny.draw_case(tmp_path, "A_sound")
    cut = tiny.draw_case(tmp_path, "B_cut") / "B_cut_t1.nii.gz"
    cut.write_bytes(cut.read_bytes()[:-50])
    tiny.draw_case(tmp_path, "C_grids", flair=np.ones((48, 48, 11), np.float32))
    tiny.draw_case(tmp_path, "D_nan", t2=np.full((48, 48, 12), np.nan, np.float32))
    tiny.draw_case(tmp_path, "E_alone", t1=None, t1ce=None, t2=None, flair=None)
    return tmp_path


def test_problems_are_told_with_their_file_and_exit_with_3(call: Call, broken: Path) -> None:
    answer = call("check", broken)
    assert answer.code == 3
    assert "5 cases, 4 with a problem" in answer.err
    problems = {case: row["problem"] for case, row in rows(answer.out).items()}
    assert problems["A_sound"] == ""
    assert "B_cut_t1.nii.gz" in problems["B_cut"]
    assert "different grids" in problems["C_grids"]
    assert "NaN" in problems["D_nan"]
    assert "only a segmentation" in problems["E_alone"]


def test_a_case_that_cannot_be_told_is_listed_with_the_others(call: Call, tmp_path: Path) -> None:
    tiny.draw_case(tmp_path, "P1")
    tiny.write(tmp_path / "P1" / "P1_t1n.nii.gz", np.ones((48, 48, 12), np.float32))
    tiny.draw_case(tmp_path, "P2")
    answer = call("check", tmp_path)
    assert answer.code == 3
    assert "2 cases, 1 with a problem" in answer.err
    problems = {case: row["problem"] for case, row in rows(answer.out).items()}
    assert "two files for T1: P1/P1_t1.nii.gz and P1/P1_t1n.nii.gz" in problems["P1"]
    assert problems["P2"] == ""


def test_images_of_unknown_names_are_told(call: Call, tmp_path: Path) -> None:
    tiny.draw_case(tmp_path, "P1")
    assert "left out" not in call("check", tmp_path).err
    for name in ("P1_t2_n4", "scan"):
        (tmp_path / "P1" / f"{name}.nii.gz").touch()
    answer = call("check", tmp_path)
    assert answer.code == 0
    told = "2 images are left out, for no convention knows the name: P1/P1_t2_n4.nii.gz, P1/scan.nii.gz"
    assert told in answer.err.splitlines()


def test_headers_alone_tell_grids_but_not_voxels(call: Call, broken: Path) -> None:
    answer = call("check", broken, "--headers-only")
    assert answer.code == 3
    problems = {case: row["problem"] for case, row in rows(answer.out).items()}
    assert "different grids" in problems["C_grids"]
    assert problems["D_nan"] == ""


def test_a_folder_without_images_is_refused(call: Call, tmp_path: Path) -> None:
    answer = call("check", tmp_path)
    assert answer.code == 2
    assert "no images" in answer.err
