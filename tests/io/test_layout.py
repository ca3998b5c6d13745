import json
import os
from pathlib import Path

import numpy as np
import pytest

from polycontrast.contrasts import DEFAULT
from polycontrast.errors import UserError
from polycontrast.io import formats, labels, layout
from polycontrast.io.checks import check_same_grid

FOUR = ("t1", "t1ce", "t2", "flair")
FOUR_2023 = ("t1n", "t1c", "t2w", "t2f")


def brats(case: str, *kinds: str, folder: str = "", end: str = ".nii.gz", join: str = "_") -> list[str]:
    return [f"{folder}{case}/{case}{join}{kind}{end}" for kind in kinds]


def vsd(case: str, number: int) -> list[str]:
    stems = [f"VSD.Brain.XX.O.MR_{kind}.{number + n}" for n, kind in enumerate(("T1", "T1c", "T2", "Flair"))]
    stems.append(f"VSD.Brain_3more.XX.O.OT.{number + 5}")
    return [f"{case}/{stem}/{stem}.mha" for stem in stems]


def nnunet(case: str) -> list[str]:
    return [f"imagesTr/{case}_000{n}.nii.gz" for n in range(4)] + [f"labelsTr/{case}.nii.gz"]


def bids(subject: str, session: str = "") -> list[str]:
    start = f"{subject}_{session}" if session else subject
    folder = f"{subject}/{session}/anat" if session else f"{subject}/anat"
    kinds = ("T1w", "ce-gadolinium_T1w", "T2w", "FLAIR")
    return [f"{folder}/{start}_{kind}.nii.gz" for kind in kinds]


# names of one case, its id, its convention, its label map
COMPLETE = {
    "2013 as published": (vsd("HGG/brats_2013_pat0005_1", 54537), "brats_2013_pat0005_1", "BraTS 2013/15", "brats2013"),
    "2015 as published": (vsd("LGG/brats_tcia_pat105_1", 100), "brats_tcia_pat105_1", "BraTS 2013/15", "brats2013"),
    "2013 repacked": (
        brats("brats_2013_pat0001_1", *FOUR, "seg"),
        "brats_2013_pat0001_1",
        "BraTS 2013/15",
        "brats2013",
    ),
    "2017": (
        brats("Brats17_TCIA_1_1", *FOUR, "seg", folder="data/HGG/"),
        "Brats17_TCIA_1_1",
        "BraTS 2017-19",
        "brats",
    ),
    "2018": (brats("Brats18_2013_2_1", *FOUR, "seg", folder="LGG/"), "Brats18_2013_2_1", "BraTS 2017-19", "brats"),
    "2019": (brats("BraTS19_CBICA_ASK_1", *FOUR, "seg"), "BraTS19_CBICA_ASK_1", "BraTS 2017-19", "brats"),
    "2020": (
        brats("BraTS20_Training_001", *FOUR, "seg", end=".nii"),
        "BraTS20_Training_001",
        "BraTS 2020",
        "brats",
    ),
    "2020, case 355": (
        [*brats("BraTS20_Training_355", *FOUR, end=".nii"), "BraTS20_Training_355/W39_1998.09.19_Segm.nii"],
        "BraTS20_Training_355",
        "BraTS 2020",
        "brats",
    ),
    "2021": (brats("BraTS2021_00000", *FOUR, "seg"), "BraTS2021_00000", "BraTS 2021", "brats"),
    "2023": (
        brats("BraTS-GLI-00000-000", *FOUR_2023, "seg", join="-"),
        "BraTS-GLI-00000-000",
        "BraTS 2023-25",
        "brats2023",
    ),
    "2023 metastases": (
        brats("BraTS-MET-00110-000", *FOUR_2023, "seg", join="-"),
        "BraTS-MET-00110-000",
        "BraTS 2023-25",
        "brats2023",
    ),
    "2024 after treatment": (
        brats("BraTS-GLI-02064-101", *FOUR_2023, "seg", join="-"),
        "BraTS-GLI-02064-101",
        "BraTS 2023-25",
        "brats2024",
    ),
    "BIDS": (
        [*bids("sub-01"), "derivatives/manual/sub-01/anat/sub-01_dseg.nii.gz"],
        "sub-01",
        "BIDS",
        "brats",
    ),
    "BIDS with sessions": (
        [
            *bids("sub-01", "ses-2"),
            "derivatives/masks/sub-01/ses-2/anat/sub-01_ses-2_space-T1w_label-lesion_mask.nii.gz",
        ],
        "sub-01_ses-2",
        "BIDS",
        "binary",
    ),
    "TCGA as published": (
        [
            f"TCGA-02-0006/TCGA-02-0006_1996.08.23_{kind}.nii.gz"
            for kind in ("t1", "t1Gd", "t2", "flair", "GlistrBoost", "GlistrBoost_ManuallyCorrected")
        ],
        "TCGA-02-0006_1996.08.23",
        "case_contrast",
        "brats",
    ),
    "TCGA repacked": (brats("TCGA-FG-6692", *FOUR, "seg"), "TCGA-FG-6692", "case_contrast", "brats"),
    "one flat folder": (
        [f"patient-7_{kind}.nii.gz" for kind in ("T1", "T1_Gd", "T2w", "T2-FLAIR", "tumor_segmentation")],
        "patient-7",
        "case_contrast",
        "brats",
    ),
    "a folder per case": (
        [f"patient 7/{kind}.nrrd" for kind in ("T1", "t1ce", "T2", "FLAIR", "lesion_mask")],
        "patient 7",
        "case/contrast",
        "binary",
    ),
}


@pytest.mark.parametrize(("names", "id", "convention", "label_map"), COMPLETE.values(), ids=COMPLETE)
def test_each_convention_is_found_whole(tree, names, id, convention, label_map):
    folder = tree(*names)
    (case,) = layout.find_cases(folder)
    assert (case.id, case.convention, case.labels) == (id, convention, label_map)
    assert tuple(case.contrasts) == DEFAULT
    assert list(case.contrasts.values()) == [folder / name for name in names[:4]]  # T1, T1ce, T2, FLAIR in each list
    assert case.segmentation == folder / names[-1]


@pytest.mark.parametrize("names", [v[0] for v in COMPLETE.values()], ids=COMPLETE)
def test_a_case_may_lack_its_segmentation_and_all_contrasts_but_one(tree, names):
    (case,) = layout.find_cases(tree(names[2]))
    assert tuple(case.contrasts) == ("T2",)
    assert case.segmentation is None


def test_a_cohort_of_many_conventions_is_sorted_by_id(tree):
    several = [COMPLETE[key] for key in ("2018", "2023", "2013 as published", "2013 repacked", "BIDS", "2021")]
    cases = layout.find_cases(tree(*(name for row in several for name in row[0])))
    assert [case.id for case in cases] == sorted(row[1] for row in several)
    assert all(len(case.contrasts) == 4 and case.segmentation for case in cases)


def test_a_case_folder_itself_is_a_source(tree):
    folder = tree(*COMPLETE["2018"][0]) / "LGG" / "Brats18_2013_2_1"
    assert [case.id for case in layout.find_cases(folder)] == ["Brats18_2013_2_1"]
    folder = tree(*COMPLETE["2013 as published"][0], root="old") / "HGG" / "brats_2013_pat0005_1"
    assert [case.id for case in layout.find_cases(folder)] == ["brats_2013_pat0005_1"]


def test_an_id_used_in_both_grades_is_told_by_its_grade(tree):
    names = [*vsd("HGG/brats_2013_pat0001_1", 100), *vsd("LGG/brats_2013_pat0001_1", 200)]
    cases = layout.find_cases(tree(*names))
    assert [case.id for case in cases] == ["HGG_brats_2013_pat0001_1", "LGG_brats_2013_pat0001_1"]
    assert all(len(case.contrasts) == 4 and case.segmentation for case in cases)


@pytest.mark.parametrize(
    "channels",
    [
        {"channel_names": {"0": "T1", "1": "T1ce", "2": "T2", "3": "FLAIR"}},
        {"modality": {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"}},
    ],
)
def test_nnunet_channels_are_in_its_dataset_json(tree, channels):
    folder = tree(*nnunet("BRATS_001"), *nnunet("BRATS_002"), "imagesTs/BRATS_003_0002.nii.gz")
    (folder / "dataset.json").write_text(json.dumps(channels))
    first, _, third = layout.find_cases(folder)
    flair = next(n for n, name in next(iter(channels.values())).items() if name == "FLAIR")
    assert first.contrasts["FLAIR"].name == f"BRATS_001_000{flair}.nii.gz"
    assert (first.convention, first.labels, len(first.contrasts)) == ("nnU-Net", "nnunet", 4)
    assert first.segmentation is not None
    assert (third.id, len(third.contrasts), third.segmentation) == ("BRATS_003", 1, None)


def test_nnunet_without_its_channel_order_is_refused(tree):
    folder = tree(*nnunet("BRATS_001"))
    with pytest.raises(UserError, match="missing"):
        layout.find_cases(folder)
    (folder / "dataset.json").write_text('{"channel_names": {"0": "CT"}}')
    with pytest.raises(UserError, match="'CT', expected a contrast"):
        layout.find_cases(folder)


def test_our_own_outputs_hidden_files_and_bystanders_are_no_contrasts(tree):
    folder = tree(
        *brats("P1", "t2", "flair_synth", "t1ce_synth", "t1ce_confidence", "brainmask", "brain_mask", "mask"),
        "out/P1/P1_t1_synth.nii.gz",
        "P1/.part-12345678-P1_t1.nii.gz",
        "P1/._P1_t1.nii.gz",
        ".cache/P1_t1.nii.gz",
        "sub-02/anat/sub-02_T2w.nii.gz",
        "sub-02/anat/sub-02_desc-synth_FLAIR.nii.gz",
        "sub-02/func/sub-02_task-rest_bold.nii.gz",
        "derivatives/prep/sub-02/anat/sub-02_desc-preproc_T2w.nii.gz",
    )
    cases = layout.find_cases(folder)
    assert [(case.id, tuple(case.contrasts), case.segmentation) for case in cases] == [
        ("P1", ("T2",), None),
        ("sub-02", ("T2",), None),
    ]


def test_two_files_for_one_contrast_are_both_named(tree):
    with pytest.raises(UserError, match=r"two files for T1ce: .*P1_t1c\.nii\.gz and .*P1_t1ce\.nii\.gz"):
        layout.find_cases(tree(*brats("P1", "t1c", "t1ce")))
    with pytest.raises(UserError, match=r"two files for segmentation: .*P1_seg.nii and .*P1_seg\.nii\.gz"):
        layout.find_cases(tree("P1/P1_t2.nii", "P1/P1_seg.nii", "P1/P1_seg.nii.gz", root="other"))


def test_two_files_are_named_as_they_lie_in_the_source_not_where_the_source_lies(tree):
    folder, flawed = tree(*brats("P1", "t1c", "t1ce"), *brats("P2", "t2")), {}
    found = "case P1 has two files for T1ce: P1/P1_t1c.nii.gz and P1/P1_t1ce.nii.gz"
    assert [case.id for case in layout.find_cases(folder, flawed)] == ["P2"]
    assert flawed == {"P1": found}
    with pytest.raises(UserError) as caught:
        layout.find_cases(folder)
    assert (caught.value.message, caught.value.path) == (found, folder)


def test_folders_of_one_name_are_not_taken_for_one_patient(tree):
    several = tree("P1/ses1/t1.nii.gz", "P2/ses1/flair.nii.gz")
    with pytest.raises(UserError, match=r"several folders are called ses1.* P1/ses1/t1\.nii\.gz and P2/ses1/flair"):
        layout.find_cases(several)
    apart = tree("images/P1/t1.nii.gz", "images/P1/flair.nii.gz", "masks/P1/seg.nii.gz", root="other")
    (case,) = layout.find_cases(apart)
    assert (case.id, list(case.contrasts), case.segmentation is not None) == ("P1", ["T1", "FLAIR"], True)


def test_two_sites_with_one_subjects_name_are_not_taken_for_one_patient(tree):
    anat = "site{}/sub-01/anat/sub-01_{}.nii.gz"
    with pytest.raises(
        UserError, match=r"several folders are called sub-01, .* siteA/.*/sub-01_T1w\.nii\.gz and siteB/.*_T2w\.nii\.gz"
    ):
        layout.find_cases(tree(anat.format("A", "T1w"), anat.format("B", "T2w")))
    with pytest.raises(UserError, match=r"two files for T1: siteA/.* and siteB/") as caught:  # none is dropped unseen
        layout.find_cases(tree(anat.format("A", "T1w"), anat.format("B", "T1w_brain"), root="stripped"))
    assert "of two patients" in caught.value.hint
    with pytest.raises(UserError, match=r"case P1 lies in several folders, .* siteA/P1_t1\.nii\.gz and siteB/P1_t2"):
        layout.find_cases(tree("siteA/P1_t1.nii.gz", "siteB/P1_t2.nii.gz", root="flat"))
    flawed, names = {}, ["A/P1/P1_t1.nii.gz", "B/P1/P1_t2.nii.gz", "A/P2/P2_t2.nii.gz"]
    assert [case.id for case in layout.find_cases(tree(*names, root="others"), flawed)] == ["P2"]
    assert "several folders are called P1" in flawed["P1"]


@pytest.mark.parametrize(
    "names",
    [
        ["P1/anat/P1_t1.nii.gz", "P1/contrast/P1_t1ce.nii.gz", "masks/P1_seg.nii.gz"],
        ["IXI-T1/P1-T1.nii.gz", "IXI-T2/P1-T2.nii.gz", "seg/P1-seg.nii.gz"],
        ["T1/P1/P1_t1.nii.gz", "FLAIR/P1/P1_flair.nii.gz", "labels/P1/P1_seg.nii.gz"],
        ["P1/ax_t1_post/P1_t1ce.nii.gz", "P1/ax_flair/P1_flair.nii.gz", "P1/P1_seg.nii.gz"],
        ["sub-1/anat/sub-1_T1w.nii.gz", "sub-1/extra/sub-1_T2w.nii.gz", "derivatives/a/sub-1/anat/sub-1_dseg.nii.gz"],
    ],
)
def test_a_case_may_have_folders_inside_its_own_or_one_per_contrast_and_segmentations_apart(tree, names):
    (case,) = layout.find_cases(tree(*names))
    assert (len(case.contrasts), case.segmentation is not None) == (2, True)


def test_a_folder_named_by_dots_is_known_by_its_name(tree, monkeypatch):
    folder = tree("P1/t1.nii.gz", "P1/scans/notes.txt")
    monkeypatch.chdir(folder / "P1" / "scans")
    assert [case.id for case in layout.find_cases("..")] == ["P1"]


def test_unknown_names_are_listed(tree):
    with pytest.raises(UserError, match=r"P1/scan\.nii\.gz, P1/volume\.nii") as caught:
        layout.find_cases(tree("P1/scan.nii.gz", "P1/volume.nii", "P2/P2_t2.nii"))
    assert "CSV" in caught.value.hint


def test_images_of_unknown_names_beside_known_ones_are_handed_over(tree):
    folder = tree("P1_t2.nii.gz", "P2_t2_n4.nii.gz", "scan.nii", "P1_mask.nii.gz", "P1_flair_synth.nii.gz")
    unknown: list[Path] = []
    assert [case.id for case in layout.find_cases(folder, unknown=unknown)] == ["P1"]
    assert unknown == [folder / "P2_t2_n4.nii.gz", folder / "scan.nii"]
    assert layout.in_short([*unknown] * 4, folder).endswith("P2_t2_n4.nii.gz, scan.nii and 2 more")


@pytest.mark.parametrize(
    ("name", "id"),
    [
        *[(f"P1_t2{end}.nii.gz", "P1") for end in ("_brain", "_bet", "-stripped", "_ss", "_desc-brain")],
        ("P1/T2_brain.nii.gz", "P1"),
        ("Brats18_A_1/Brats18_A_1_t2_bet.nii.gz", "Brats18_A_1"),
        ("sub-1/anat/sub-1_desc-brain_T2w.nii.gz", "sub-1"),
        ("sub-1/anat/sub-1_T2w_brain.nii.gz", "sub-1"),
    ],
)
def test_a_stripped_image_is_read_as_its_contrast(tree, name, id):
    (case,) = layout.find_cases(tree(name))
    assert (case.id, list(case.contrasts), case.segmentation) == (id, ["T2"], None)


@pytest.mark.parametrize(
    "names",
    [
        ["P1/T2.nii.gz", "P1/T2_brain.nii.gz", "P1/T1_brain.nii.gz"],
        ["P1_T2w.nii.gz", "P1_t2_brain.nii.gz", "P1_t1_bet.nii.gz"],
        ["P1/P1_t2.nii.gz", "P1/fsl/P1_t2_brain.nii.gz", "P1/fsl/P1_t1_brain.nii.gz"],
        [f"sub-1/anat/sub-1_{kind}.nii.gz" for kind in ("T2w", "desc-brain_T2w", "ce-gd_T1w_brain")],
        [f"sub-1/anat/sub-1_{kind}.nii.gz" for kind in ("ce-gd_T1w", "ce-gd_desc-brain_T1w", "T2w_brain")],
        ["P1_t2_to_t1.nii.gz", "P1_t2_to_t1_brain.nii.gz", "P1_t1_brain.nii.gz"],
    ],
)
def test_of_a_contrast_and_its_stripped_copy_the_copy_is_taken(tree, names):
    folder = tree(*names)
    (case,) = layout.find_cases(folder)
    assert set(case.contrasts.values()) == {folder / name for name in names[1:]}


@pytest.mark.parametrize(
    "names",
    [
        ["P1_t2_brain.nii.gz", "P1_t2_bet.nii.gz"],
        ["P1_t2_to_t1.nii.gz", "P1_t2_brain.nii.gz"],  # one is registered, the other is stripped
        ["P1_t2.nii.gz", "P1_t2_to_t1_brain.nii.gz"],
        ["sub-1_acq-a_T2w.nii.gz", "sub-1_acq-b_desc-brain_T2w.nii.gz"],
        ["sub-1_acq-ss_T2w.nii.gz", "sub-1_T2w.nii.gz"],
    ],
)
def test_copies_that_differ_in_more_than_the_skull_are_both_named(tree, names):
    with pytest.raises(UserError, match="two files for T2"):
        layout.find_cases(tree(*names))


@pytest.mark.parametrize(
    ("name", "id", "contrast"),
    [
        *[
            (f"P01_T1{end}.nii.gz", "P01", "T1")
            for end in ("_to_T2", "_in_T2", "_space-T2", "-reg2T2", "_2T2", "_2_T2w")
        ],
        ("P01_FLAIR_to_T2.nii.gz", "P01", "FLAIR"),
        ("P01_T1ce_brain_to_T2.nii.gz", "P01", "T1ce"),
        ("P01_T1_Gd_in_T2-FLAIR_brain.nii.gz", "P01", "T1ce"),
        ("P01/T2_to_T1ce.nii.gz", "P01", "T2"),
        ("sub-1/anat/sub-1_T1w_space-T2w.nii.gz", "sub-1", "T1"),
        ("BraTS-GLI-00001-000/BraTS-GLI-00001-000-t1n_to_t2w.nii.gz", "BraTS-GLI-00001-000", "T1"),
    ],
)
def test_an_image_registered_to_another_contrast_is_read_as_its_own(tree, name, id, contrast):
    (case,) = layout.find_cases(tree(name))
    assert (case.id, list(case.contrasts)) == (id, [contrast])


def test_a_patient_numbered_2_of_a_group_called_like_a_contrast_is_no_registered_image(tree):
    names = [f"PD_{i}_{kind}.nii.gz" for i in (1, 2) for kind in ("T1", "T2")]
    cases = layout.find_cases(tree(*names))
    assert [(case.id, list(case.contrasts)) for case in cases] == [("PD_1", ["T1", "T2"]), ("PD_2", ["T1", "T2"])]


def test_a_registered_copy_beside_its_case_is_no_patient_of_its_own(tree):
    flawed: dict[str, str] = {}
    folder = tree("P01_T2.nii.gz", "rP01_T1.nii.gz", "reg_P01_FLAIR.nii.gz", "ruth_T2.nii.gz")
    assert [case.id for case in layout.find_cases(folder, flawed)] == ["P01", "ruth"]
    assert flawed == {
        "rP01": "case rP01 seems to be a copy of P01: rP01_T1.nii.gz beside P01_T2.nii.gz",
        "reg_P01": "case reg_P01 seems to be a copy of P01: reg_P01_FLAIR.nii.gz beside P01_T2.nii.gz",
    }
    assert len(layout.find_cases(tree("a/P01_T2.nii.gz", "b/rP01_T2.nii.gz", root="apart"))) == 2


def test_a_segmentation_of_the_brain_is_none_of_a_lesion(tree):
    folder = tree("P1_t2.nii.gz", "P1_brain_parenchyma_segmentation.nii.gz", "P1_brain_parenchyma_seg.nii.gz")
    unknown: list[Path] = []
    (case,) = layout.find_cases(folder, unknown=unknown)
    assert (case.id, case.segmentation, unknown) == ("P1", None, [])


def test_an_empty_or_absent_folder_is_refused(tmp_path):
    with pytest.raises(UserError, match="no images"):
        layout.find_cases(tmp_path)
    with pytest.raises(UserError, match="found nothing"):
        layout.find_cases(tmp_path / "absent")
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(UserError, match="found a file"):
        layout.find_cases(tmp_path / "a.txt")


def test_labels_json_overrules_the_convention_for_the_cohort_and_for_a_case_folder(tree):
    folder = tree(*COMPLETE["2023 metastases"][0], *COMPLETE["2021"][0])
    (folder / "labels.json").write_text('{"BraTS-MET-00110-000": "oedema-core"}')
    assert [case.labels for case in layout.find_cases(folder)] == ["oedema-core", "brats"]
    assert [case.labels for case in layout.find_cases(folder / "BraTS-MET-00110-000")] == ["oedema-core"]
    (folder / "labels.json").write_text('{"BraTS-MET-00110-000": "brats2033"}')
    with pytest.raises(UserError, match="brats2033"):
        layout.find_cases(folder)


def write_csv(folder: Path, *lines: str) -> Path:
    path = folder / "cases.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_csv_names_any_file_and_folder(tree):
    folder = tree("x/scan1.nii", "x/scan2.nii", "y/BraTS-GLI-00000-000-seg.nii.gz", "dicom/t2/slice.nii")
    table = write_csv(
        folder,
        "Case,age,T1-Gd,t2w,SEG,labels",
        f"P2,51,x/scan1.nii,{folder}/dicom/t2,y/BraTS-GLI-00000-000-seg.nii.gz,",
        "P1,50,,x/scan2.nii,y/BraTS-GLI-00000-000-seg.nii.gz,binary",
    )
    one, two = layout.find_cases(table)
    assert (one.id, tuple(one.contrasts), one.labels) == ("P1", ("T2",), "binary")
    assert (two.id, tuple(two.contrasts), two.labels) == ("P2", ("T1ce", "T2"), "brats2023")
    assert two.contrasts["T2"].is_dir()
    assert one.segmentation == folder / "y/BraTS-GLI-00000-000-seg.nii.gz"


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["case,t1,t2"], "no cases"),
        (["t1,t2", "a.nii,b.nii"], "no column `case`; found t1, t2"),
        (["case,t1,t9x", "P1,a.nii,a.nii"], "unknown contrast 't9x'"),
        (["case,t1,T1w", "P1,a.nii,a.nii"], "two columns mean T1"),
        (["case,t1", "P1,missing.nii"], "line 2: T1 of case P1 is not there"),
        (["case,t1", "P1,a.nii", "P1,a.nii"], "line 3: case P1 is listed twice"),
        (["case,t1", "../P1,a.nii"], "cannot be a case's id"),
        (["case,t1", ",a.nii"], "cannot be a case's id"),
        (["case,t1,labels", "P1,a.nii,brats1999"], "unknown label map 'brats1999'"),
    ],
)
def test_a_wrong_csv_is_refused_with_its_line(tree, lines, said):
    with pytest.raises(UserError, match=said):
        layout.find_cases(write_csv(tree("a.nii"), *lines))


def test_a_csv_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"case,t1\n\xff\xfe\x00")
    with pytest.raises(UserError, match="UTF-8"):
        layout.find_cases(tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("label_map", "whole", "core", "enhancing"),
    [
        ("brats", [1, 2, 4], [1, 4], [4]),
        ("brats2013", [1, 2, 3, 4], [1, 3, 4], [4]),
        ("brats2023", [1, 2, 3], [1, 3], [3]),
        ("brats2024", [1, 2, 3], [1, 3], [3]),
        ("nnunet", [1, 2, 3], [2, 3], [3]),
        ("oedema-core", [1, 2], [2], []),
        ("binary", [1], [], []),
    ],
)
def test_the_regions_of_each_label_map(label_map, whole, core, enhancing):
    known = sorted({0, *(v for values in labels.LABEL_MAPS[label_map].values() for v in values)})
    found = labels.regions(np.array(known, np.int16), label_map)
    assert [np.array(known)[found[region]].tolist() for region in labels.REGIONS] == [whole, core, enhancing]
    assert labels.told(label_map) == tuple(r for r in labels.REGIONS if found[r].any())


def test_a_value_that_the_label_map_does_not_know_is_refused():
    with pytest.raises(UserError, match="label values 4, 7 are not in the label map 'brats2023'") as caught:
        labels.regions(np.array([0, 4, 7, 1], np.int16), "brats2023", Path("seg.nii"))
    assert "labels.json" in caught.value.hint
    with pytest.raises(UserError, match="label values -1"):
        labels.regions(np.array([-1], np.int16), "binary")
    with pytest.raises(UserError, match="unknown label map"):
        labels.regions(np.array([0], np.int16), "brats99")


@pytest.mark.real
@pytest.mark.skipif("POLYCONTRAST_REAL_DATA" not in os.environ, reason="POLYCONTRAST_REAL_DATA is not set")
def test_every_real_case_is_found_whole_on_one_grid_with_known_labels():
    cohort = Path(os.environ["POLYCONTRAST_REAL_DATA"], "cohort")
    cases = layout.find_cases(cohort)
    assert [case.id for case in cases] == sorted(folder.name for folder in cohort.iterdir() if folder.is_dir())
    for case in cases:
        assert tuple(case.contrasts) == DEFAULT
        assert case.segmentation is not None
        array, geometry = formats.read_labels(case.segmentation)
        grids = {name: formats.read_geometry(path) for name, path in case.contrasts.items()}
        check_same_grid(grids | {"segmentation": geometry}, case.segmentation.parent)
        found = labels.regions(array, case.labels, case.segmentation)
        assert found["whole"].any()
        assert not (found["core"] & ~found["whole"]).any()
        assert not (found["enhancing"] & ~found["core"]).any()
