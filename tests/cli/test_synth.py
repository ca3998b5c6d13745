"""polycontrast synth: a case, a folder, a CSV or single files; what fails is told and the rest is done."""

import csv
import json
import os
import shutil
from pathlib import Path

import pytest

from polycontrast import runs
from polycontrast.data import phantom
from polycontrast.io import nifti
from polycontrast.io.files import write_json
from polycontrast.io.volume import Geometry

from .. import models, tiny
from .conftest import Call
from .test_main import refused

pytestmark = pytest.mark.usefixtures("drawn")


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """Three cases, the T2 of the second cut off."""
    for i in range(3):
        tiny.draw_case(tmp_path / "cohort", f"P{i}", seed=i, t1=None, t1ce=None, flair=None, seg=None)
    file = tmp_path / "cohort/P1/P1_t2.nii.gz"
    file.write_bytes(file.read_bytes()[:-60])
    return tmp_path / "cohort"


def made(out: Path) -> list[str]:
    return sorted(path.name for path in out.rglob("*_synth.nii.gz"))


def test_a_case_is_made_and_then_found_done(call: Call, run: Path, cohort: Path, tmp_path: Path) -> None:
    arguments = ("synth", "--model", run, "-i", cohort / "Tiny_0", "-o", tmp_path / "out")
    first = call(*arguments)
    assert first.code == 0
    assert "Tiny_0: made FLAIR, T1ce, T1" in first.out
    assert "thick slices" in first.out
    assert made(tmp_path / "out") == [f"Tiny_0_{c}_synth.nii.gz" for c in ("flair", "t1", "t1ce")]
    second = call(*arguments)
    assert second.code == 0
    assert "Tiny_0: there already" in second.out


def test_quiet_says_nothing_but_flags(call: Call, run: Path, cohort: Path, tmp_path: Path) -> None:
    answer = call("synth", "--model", run, "-i", cohort, "-o", tmp_path / "out", "--want", "t1", "-q")
    assert (answer.code, answer.out) == (0, "")
    lines = answer.err.splitlines()
    assert [line.partition(":")[0] for line in lines] == [f"Tiny_{i}" for i in range(4)]
    assert all("thick slices" in line and "made" not in line for line in lines)
    assert len(made(tmp_path / "out")) == 4


def test_an_output_folder_that_cannot_be_is_told_before_anything_is_made(
    call: Call, run: Path, cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("polycontrast.infer.cohort.run_case", lambda *_, **__: pytest.fail("a case was begun"))
    (tmp_path / "file").touch()
    answer = call("synth", "--model", run, "-i", cohort, "-o", tmp_path / "file" / "out")
    assert answer.code == 2
    assert f"{tmp_path / 'file' / 'out'}: cannot write" in answer.err


def test_images_that_are_left_out_for_their_names_are_told(call: Call, run: Path, tmp_path: Path) -> None:
    tiny.draw_case(tmp_path / "in", "P1", t1=None, t1ce=None, flair=None, seg=None)
    (tmp_path / "in/P1/P2_t2_n4.nii.gz").touch()
    arguments = ("synth", "--model", run, "-i", tmp_path / "in", "-o", tmp_path / "out", "--want", "t1")
    told = "1 image is left out, for no convention knows the name: P1/P2_t2_n4.nii.gz\n"
    answer = call(*arguments)
    assert (answer.code, answer.err) == (0, told)
    assert call(*arguments, "-q") == (0, "", "")


def test_a_file_one_folder_up_is_made_where_it_was_told(
    call: Call, run: Path, cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "head" / "work"
    here.mkdir(parents=True)
    shutil.copy(cohort / "Tiny_0" / "Tiny_0_t2.nii.gz", here.parent / "t2.nii.gz")
    monkeypatch.chdir(here)
    assert call("synth", "--model", run, "--t2", "../t2.nii.gz", "-o", "out", "--want", "t1").code == 0
    assert made(tmp_path) == ["head_t1_synth.nii.gz"]
    assert (here / "out" / "head").is_dir()
    refused(call("synth", "--model", run, "--t2", "/", "-o", "out"), "'' cannot be a case's id")


def test_another_model_is_refused_without_overwrite(call: Call, run: Path, cohort: Path, tmp_path: Path) -> None:
    arguments = ("-i", cohort / "Tiny_0", "-o", tmp_path / "out", "--want", "t1")
    other = models.make_run(tmp_path / "other", seed=1)
    assert call("synth", "--model", run, *arguments).code == 0
    refused(call("synth", "--model", other, *arguments), "another model", "--overwrite")
    assert call("synth", "--model", other, *arguments, "--overwrite").code == 0
    told = json.loads((tmp_path / "out/Tiny_0/Tiny_0_t1_synth.json").read_text(encoding="utf-8"))
    assert told["model"]["name"] == "other"


def test_one_bad_case_exits_with_3_and_is_named(call: Call, run: Path, broken: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ("synth", "--model", run, "-i", broken, "-o", out, "--want", "t1")
    answer = call(*arguments)
    assert answer.code == 3
    assert "1 of 3 cases failed" in answer.err
    assert "Traceback" not in answer.err
    assert made(out) == ["P0_t1_synth.nii.gz", "P2_t1_synth.nii.gz"]
    with (out / "failures.csv").open() as file:
        header, (name, reason) = csv.reader(file)
    assert (header, name) == (["case", "reason"], "P1")
    assert "P1_t2.nii.gz" in reason

    assert call("synth", "--model", run, "-i", broken / "P0", "-o", out, "--want", "t1").code == 0
    assert (out / "failures.csv").exists()  # of this one case nothing follows for the others
    tiny.draw_case(broken, "P1")
    assert call(*arguments).code == 0
    assert len(made(out)) == 3
    assert not (out / "failures.csv").exists()


def test_a_single_bad_case_is_a_refusal(call: Call, run: Path, broken: Path, tmp_path: Path) -> None:
    refused(call("synth", "--model", run, "-i", broken / "P1", "-o", tmp_path / "out"), "P1_t2.nii.gz")
    assert not (tmp_path / "out").exists()


def test_a_fault_of_ours_in_a_single_case_exits_with_1_and_shows_where(
    call: Call, run: Path, cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def faulty(*_: object) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr("polycontrast.infer.cohort._facts", faulty)
    answer = call("synth", "--model", run, "-i", cohort / "Tiny_0", "-o", tmp_path / "out")
    assert answer.code == 1
    assert "in faulty" in answer.err
    assert "a fault of polycontrast" in answer.err


def test_a_cohort_whose_cases_lack_the_input_fails_case_by_case(call: Call, run: Path, tmp_path: Path) -> None:
    for i in range(2):
        tiny.draw_case(tmp_path / "cohort", f"P{i}", t2=None)
    answer = call("synth", "--model", run, "-i", tmp_path / "cohort", "-o", tmp_path / "out")
    assert answer.code == 3
    assert answer.err.count("needs T2, found T1, T1ce, FLAIR") == 2


@pytest.fixture
def flawed(tmp_path: Path) -> Path:
    """A BIDS folder of three, the first with two runs of its T2."""
    t2 = tiny.images(0)[0]["t2"]
    for name in ("sub-01_run-1", "sub-01_run-2", "sub-02", "sub-03"):
        tiny.write(tmp_path / "bids" / name[:6] / "anat" / f"{name}_T2w.nii.gz", t2)
    return tmp_path / "bids"


def test_a_case_with_two_files_for_a_contrast_is_among_the_failed_and_the_others_are_made(
    call: Call, run: Path, flawed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    answer = call("synth", "--model", run, "-i", flawed, "-o", out, "--want", "t1")
    assert answer.code == 3
    assert "sub-01: FAILED" in answer.err
    assert "1 of 3 cases failed" in answer.err
    assert made(out) == ["sub-02_t1_synth.nii.gz", "sub-03_t1_synth.nii.gz"]
    with (out / "failures.csv").open(encoding="utf-8") as file:
        _, (name, reason) = csv.reader(file)
    assert name == "sub-01"
    assert "two files for T2" in reason
    assert "role" not in reason
    refused(call("synth", "--model", run, "-i", flawed / "sub-01", "-o", out), "two files for T2")


def test_a_flawed_case_is_told_by_one_shard(call: Call, run: Path, flawed: Path, tmp_path: Path) -> None:
    for i, code in ((0, 3), (1, 0)):
        answer = call("synth", "--model", run, "-i", flawed, "-o", tmp_path / "o", "--want", "t1", "--shard", f"{i}/2")
        assert answer.code == code
    assert made(tmp_path / "o") == ["sub-02_t1_synth.nii.gz", "sub-03_t1_synth.nii.gz"]


def test_a_name_that_is_not_utf_8_is_told_in_words_and_the_others_are_made(
    call: Call, run: Path, cohort: Path, tmp_path: Path
) -> None:
    data, out = tmp_path / "in", tmp_path / "out"
    data.mkdir()
    latin = data / os.fsdecode(b"M\xfcller_t2.nii.gz")
    try:
        shutil.copy(cohort / "Tiny_0/Tiny_0_t2.nii.gz", latin)
    except OSError:
        pytest.skip("names on this disk are UTF-8")
    shutil.copy(cohort / "Tiny_1/Tiny_1_t2.nii.gz", data / "Zoe_t2.nii.gz")
    answer = call("synth", "--model", run, "-i", data, "-o", out, "--want", "t1")
    assert answer.code == 3, answer.err
    assert "Traceback" not in answer.err
    assert made(out) == ["Zoe_t1_synth.nii.gz"]
    assert not list(out.glob("M*"))
    with (out / "failures.csv").open(encoding="utf-8") as file:
        _, (name, reason) = csv.reader(file)
    assert name == r"M\udcfcller"
    assert "not in UTF-8" in reason
    single = ("synth", "--model", run, "--t2", latin, "-o", tmp_path / "single", "--want", "t1")
    refused(call(*single), "not in UTF-8")
    refused(call(*single, "--case", "P1"), "not in UTF-8")  # the sidecar names the file too
    assert not (tmp_path / "single").exists()


def test_shards_divide_the_cohort_and_keep_each_others_failures(
    call: Call, run: Path, broken: Path, tmp_path: Path
) -> None:
    tiny.draw_case(broken, "P3")
    codes, shares = [], []
    for i in range(2):
        before = made(tmp_path / "out")
        arguments = ("synth", "--model", run, "-i", broken, "-o", tmp_path / "out", "--want", "t1")
        codes.append(call(*arguments, "--shard", f"{1 - i}/2").code)
        shares.append([name[:2] for name in made(tmp_path / "out") if name not in before])
    assert codes == [3, 0]
    assert shares == [["P3"], ["P0", "P2"]]
    assert "P1" in (tmp_path / "out/failures_1_of_2.csv").read_text(encoding="utf-8")
    assert call(*arguments, "--shard", "1/4").code == 3  # a share of one case is still one of a cohort
    assert "P1" in (tmp_path / "out/failures_1_of_4.csv").read_text(encoding="utf-8")


@pytest.mark.parametrize("shard", ["2/2", "1", "a/b", "-1/2", "0/0", "/", "²/3", "0/1/2"])
def test_a_shard_that_is_none_is_refused(call: Call, run: Path, cohort: Path, tmp_path: Path, shard: str) -> None:
    refused(call("synth", "--model", run, "-i", cohort, "-o", tmp_path / "o", f"--shard={shard}"), "i/N")


def test_a_csv_lists_the_cases(call: Call, run: Path, cohort: Path, tmp_path: Path) -> None:
    table = tmp_path / "cases.csv"
    table.write_text(f"case,T2w\nleft,{cohort}/Tiny_0/Tiny_0_t2.nii.gz\nright,{cohort}/Tiny_1/Tiny_1_t2.nii.gz\n")
    assert call("synth", "--model", run, "-i", table, "-o", tmp_path / "out", "--want", "t1").code == 0
    assert made(tmp_path / "out") == ["left_t1_synth.nii.gz", "right_t1_synth.nii.gz"]


def test_a_split_file_chooses_the_cases_of_a_role(call: Call, run: Path, cohort: Path, tmp_path: Path) -> None:
    write_json(tmp_path / "split.json", {"gan": ["Tiny_0", "Tiny_1"], "test": ["Tiny_2"]})
    arguments = ("synth", "--model", run, "-i", cohort, "-o", tmp_path / "out", "--want", "t1")
    assert call(*arguments, "--split", tmp_path / "split.json").code == 0
    assert made(tmp_path / "out") == ["Tiny_2_t1_synth.nii.gz"]
    refused(call(*arguments, "--split", tmp_path / "split.json", "--role", "train"), "'train'", "gan, test")
    write_json(tmp_path / "other.json", {"test": ["Tiny_9"]})
    refused(call(*arguments, "--split", tmp_path / "other.json"), "Tiny_9")


@pytest.mark.parametrize(
    ("name", "case"),
    [
        ("sub-01/anat/sub-01_T2w.nii.gz", "sub-01"),
        ("P7_t2.nii", "P7"),
        ("P7/t2.nii.gz", "P7"),
        ("scan.nii.gz", "scan"),
        ("1.2.840.1.nii.gz", "1.2.840.1"),
        ("visit_0001.nii.gz", "visit_0001"),  # the form of an nnU-Net channel, but --t2 says what it is
    ],
)
def test_a_single_file_is_a_case_by_its_name(call: Call, run: Path, tmp_path: Path, name: str, case: str) -> None:
    file = tiny.write(tmp_path / "in" / name, tiny.images(0)[0]["t2"])
    assert call("synth", "--model", run, "--t2", file, "-o", tmp_path / "out", "--want", "flair").code == 0
    assert made(tmp_path / "out") == [f"{case}_flair_synth.nii.gz"]


def test_files_in_folders_of_their_own_are_one_case(call: Call, run: Path, tmp_path: Path) -> None:
    files = [tiny.write(tmp_path / name / f"{name}.nii.gz", tiny.images(0)[0][name]) for name in ("t2", "t1")]
    arguments = ("synth", "--model", run, "--t2", files[0], "--t1", files[1], "-o", tmp_path / "out")
    assert call(*arguments, "--want", "flair").code == 0


@pytest.mark.parametrize(
    ("t1", "t2", "case"),
    [
        ("mprage_T1", "space_T2", "mprage"),
        ("Tiny_0_t1", "Tiny_1_t2", "Tiny_0"),
        ("mprage_T1", "sub-01_T2w", "mprage"),
        ("sub-01_ses-1_T1w", "sub-01_ses-2_T2w", "sub-01_ses-1"),
        ("BraTS-GLI-00001-000-t1n", "BraTS-GLI-00001-001-t2w", "BraTS-GLI-00001-000"),
    ],
)
def test_files_of_any_names_are_one_case_where_no_dataset_says_that_they_are_of_two_patients(
    call: Call, run: Path, tmp_path: Path, t1: str, t2: str, case: str
) -> None:
    files = [tiny.write(tmp_path / "in" / f"{name}.nii.gz", tiny.images(0)[0]["t2"]) for name in (t1, t2)]
    arguments = ("synth", "--model", run, "--t2", files[1], "--t1", files[0], "-o", tmp_path / "out", "--want", "flair")
    assert call(*arguments).code == 0
    assert made(tmp_path / "out") == [f"{case}_flair_synth.nii.gz"]


@pytest.mark.parametrize(
    ("t1", "t2", "told"),
    [
        ("sub-01_T1w", "sub-02_T2w", "sub-01, sub-02"),
        ("BraTS-GLI-00001-000-t1n", "BraTS-GLI-00002-000-t2w", "BraTS-GLI-00001-000, BraTS-GLI-00002-000"),
        ("TCGA-02-0006_t1", "TCGA-02-0009_t2", "TCGA-02-0006, TCGA-02-0009"),
        ("pat0001/VSD.Brain.XX.O.MR_T1.1", "pat0002/VSD.Brain.XX.O.MR_T2.2", "pat0001, pat0002"),
    ],
)
def test_files_of_two_patients_of_a_dataset_are_refused_unless_the_case_is_named(
    call: Call, run: Path, tmp_path: Path, t1: str, t2: str, told: str
) -> None:
    files = [tiny.write(tmp_path / "in" / f"{name}.nii.gz", tiny.images(0)[0]["t2"]) for name in (t1, t2)]
    arguments = ("synth", "--model", run, "--t1", files[0], "--t2", files[1], "-o", tmp_path / "out", "--want", "flair")
    refused(call(*arguments), f"several patients: {told}", "--case NAME")
    assert call(*arguments, "--case", "smith").code == 0
    assert made(tmp_path / "out") == ["smith_flair_synth.nii.gz"]


def test_a_phantom_with_its_skull_is_made_but_flagged(call: Call, run: Path, tmp_path: Path) -> None:
    head = phantom.make(1, (60, 60, 40), 3.5, contrasts=("T2",), skull=True)
    file = tmp_path / "head_t2.nii.gz"
    nifti.write(file, head.contrasts["T2"], Geometry.from_affine((60, 60, 40), head.affine))
    answer = call("synth", "--model", run, "--t2", file, "-o", tmp_path / "out", "--want", "t1")
    assert answer.code == 0
    assert "strip the skull" in answer.out
    flags = json.loads((tmp_path / "out/head/head_t1_synth.json").read_text(encoding="utf-8"))["flags"]
    assert len(flags) == 2
    assert "thick slices (3.5 mm)" in flags[0]


def test_what_cannot_be_is_refused_in_words(call: Call, run: Path, cohort: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    file, out = cohort / "Tiny_0/Tiny_0_t2.nii.gz", tmp_path / "out"
    for arguments, words in (
        (("--model", run), "either -i or single files"),
        (("--model", run, "-i", cohort, "--t2", file), "either -i or single files"),
        (("--model", run, "--t2", tmp_path / "absent_t2.nii.gz"), "no such file"),
        (("--model", run, "--t1", cohort / "Tiny_0/Tiny_0_t1.nii.gz"), "needs T2, found T1"),
        (("--model", run, "--t2", file, "--want", "t2"), "both given and wanted: T2"),
        (("--model", run, "-i", cohort, "--have", "t2", "--want", "t2"), "both given and wanted: T2"),
        (("--model", run, "--t2", file, "--split", file), "choose among many cases"),
        (("--model", run, "--t2", file, "--shard", "0/2"), "choose among many cases"),
        (("--model", run, "-i", cohort, "--role", "train"), "--role is a role of --split"),
        (("--model", run, "-i", file), "--t2 FILE"),
        (("--model", run, "-i", cohort, "--case", "P1"), "--case names the case of single files"),
        (("--model", run, "--t2", file, "--case", "a/b"), "--case 'a/b' cannot be a case's id"),
        (("--model", run, "--t2", file, "--case", ""), "--case '' cannot be a case's id"),
        (("--model", run, "--t2", file, "--t1", file), "one file for two contrasts"),
        (("--model", run, "--t2", file, "--want", "t7"), "unknown contrast 't7'"),
        (("--model", run, "--t2", file, "--want", ","), "',' names nothing"),
        (("--model", run, "--t2", file, "--have", ""), "'' names nothing"),
        (("--model", run, "--t2", file, "--device", "meta"), "device 'meta' is not there"),
        (("--model", run, "-i", tmp_path / "empty"), "no images"),
        (("--model", tmp_path / "nowhere", "--t2", file), "no such run folder"),
        (("--model", tmp_path / "empty", "--t2", file), "no such file"),
        (("--model", tmp_path / "file", "--t2", file), "no such run folder"),
    ):
        refused(call("synth", *arguments, "-o", out), words)
    assert not out.exists()


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for the shipped model, and an empty current folder."""
    folder = models.make_shipped(tmp_path / "weights")
    monkeypatch.setattr(runs, "shipped", lambda: folder)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return folder


@pytest.mark.usefixtures("shipped")
def test_without_a_model_the_shipped_one_makes_all_the_others_and_their_confidence(
    call: Call, cohort: Path, tmp_path: Path
) -> None:
    answer = call("synth", "--t2", cohort / "Tiny_0/Tiny_0_t2.nii.gz", "-o", tmp_path / "out", "--device", "cpu")
    assert answer.code == 0, answer.err
    assert made(tmp_path / "out") == [f"Tiny_0_{c}_synth.nii.gz" for c in ("flair", "t1", "t1ce")]
    assert len(list((tmp_path / "out/Tiny_0").glob("*_confidence.nii.gz"))) == 3
    told = json.loads((tmp_path / "out/Tiny_0/Tiny_0_t1_synth.json").read_text(encoding="utf-8"))
    assert told["model"]["name"] == "any2any"
    assert "fast" not in told["model"]


@pytest.mark.usefixtures("shipped")
def test_of_a_case_that_lacks_nothing_it_says_so_and_how_to_choose(call: Call, cohort: Path, tmp_path: Path) -> None:
    answer = call("synth", "-i", cohort / "Tiny_0", "-o", tmp_path / "out")
    assert answer.code == 0
    assert "Tiny_0: nothing made" in answer.out
    assert str(tmp_path) not in answer.out  # nothing is there
    assert "--have" in answer.out
    assert made(tmp_path / "out") == []


@pytest.mark.usefixtures("shipped")
def test_fast_and_ensemble_reach_the_model_and_its_sidecars(call: Call, cohort: Path, tmp_path: Path) -> None:
    arguments = ("synth", "--t2", cohort / "Tiny_0/Tiny_0_t2.nii.gz", "-o", tmp_path / "out", "--want", "t1")
    assert call(*arguments, "--fast", "--ensemble").code == 0
    told = json.loads((tmp_path / "out/Tiny_0/Tiny_0_t1_synth.json").read_text(encoding="utf-8"))["model"]
    assert (told["fast"], told["ensemble"]) == (True, True)
    refused(call(*arguments, "--fast"), "other options", "--overwrite")
    assert call(*arguments, "--fast", "--ensemble").out.count("there already") == 1


def test_an_option_that_does_nothing_is_refused(call: Call, run: Path, cohort: Path, tmp_path: Path) -> None:
    arguments = ("synth", "--model", run, "-i", cohort / "Tiny_0", "-o", tmp_path / "out")
    refused(call(*arguments, "--fast"), "--fast does nothing", "leave it out")
    assert call(*arguments, "--ensemble", "--want", "t1").code == 0


def test_without_the_shipped_model_a_run_is_asked_for(
    call: Call, cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "shipped", lambda: tmp_path)
    monkeypatch.chdir(tmp_path)
    answer = call("synth", "-i", cohort / "Tiny_0", "-o", tmp_path / "out")
    refused(answer, "not in this installation", "--model")
