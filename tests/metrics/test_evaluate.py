"""Evaluation of a small drawn cohort: controls by hand, bad cases flagged, the files say how they were made."""

import csv
import json
import math
import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest

from polycontrast.data import intensity
from polycontrast.errors import UserError
from polycontrast.io import formats
from polycontrast.io.layout import find_cases
from polycontrast.metrics import downstream, tables
from polycontrast.metrics import evaluate as evaluation
from polycontrast.metrics.downstream import Outcome, Segmenters
from polycontrast.metrics.evaluate import Known, evaluate, summarised
from polycontrast.metrics.protocols import POLYCONTRAST, PROTOCOLS
from polycontrast.metrics.synthetic import finder, synthetic_files
from polycontrast.metrics.tables import Failure

SHAPE = (20, 22, 18)
AFFINE = np.diag([-1.0, -1.0, 1.0, 1.0])
NAMES = {"T1": "t1", "T1ce": "t1ce", "T2": "t2", "FLAIR": "flair"}
CHARTS = ("violins", "bland_altman", "spectrum", "joint_histogram")
LISTS = ("bland_altman.csv", "spectrum.csv", "joint_histogram.csv")
GAN, TEST = ["Brats18_G_1", "Brats18_G_2"], ["Brats18_A_1", "Brats18_B_1", "Brats18_C_1"]


@pytest.fixture(name="drawn", autouse=True)
def _drawn(request, monkeypatch):
    """The mosaics asked for: (file, case, panels). Drawing takes a second each, so only one test really draws."""
    calls = []
    if "really_draw" not in request.fixturenames:
        monkeypatch.setattr(evaluation.report, "write", lambda *_: None)
        monkeypatch.setattr(
            "polycontrast.metrics.gallery.pictures.mosaic",
            lambda path, panels, *, title, **_: calls.append((path.name, title.split(":")[0], list(panels))),
        )
    return calls


def save(path, array, affine=AFFINE):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, affine), path)


def ball(radius):
    axes = np.meshgrid(*(np.arange(n) - n / 2 for n in SHAPE), indexing="ij")
    return np.sqrt(sum(a * a for a in axes)) < radius


def normalised(image, brain):
    return np.where(brain, (image - image[brain].mean()) / image[brain].std() * 0.25 + 0.5, 0)


def real_image(seed, brain):
    return np.where(brain, np.random.default_rng(seed).uniform(50, 200, SHAPE), 0).astype(np.float32)


def add_case(folder, case, seed, radius=7.0, tumour=True, affine=AFFINE):
    brain = ball(radius)
    for i, name in enumerate(NAMES.values()):
        save(folder / case / f"{case}_{name}.nii.gz", real_image(10 * seed + i, brain), affine)
    save(folder / case / f"{case}_seg.nii.gz", ((ball(3) * 2) if tumour else ball(-1)).astype(np.uint8), affine)


def truth_of(data, case, contrast):
    """The truth in normalised units and the brain, computed here from the files."""
    image = nib.load(data / case / f"{case}_{NAMES[contrast]}.nii.gz").get_fdata()
    return normalised(image, image != 0), image != 0


def predict(synthetic, data, case, contrast, error, affine=AFFINE):
    truth, brain = truth_of(data, case, contrast)
    image = np.where(brain, truth + error, 0).astype(np.float32)
    save(synthetic / case / f"{case}_{contrast.lower()}_synth.nii.gz", image, affine)


@pytest.fixture(name="cohort")
def _cohort(tmp_path):
    """Two gan cases of different size, three test cases, synthetic T1 and FLAIR with a known constant error."""
    data, synthetic = tmp_path / "data", tmp_path / "synthetic"
    for seed, (case, radius) in enumerate(zip([*GAN, *TEST], [6.0, 8.0, 7.0, 7.0, 7.0], strict=True)):
        add_case(data, case, seed, radius, tumour=case != "Brats18_C_1")
    for case, error in zip(TEST, [0.1, 0.3, 0.2], strict=True):
        for contrast in ("T1", "FLAIR"):
            predict(synthetic, data, case, contrast, error)
    split = tmp_path / "split.json"
    split.write_text(json.dumps({"gan": GAN, "test": TEST, "train": []}))
    return data, synthetic, split, tmp_path / "out"


def run(cohort, **options):
    data, synthetic, split, out = cohort
    return evaluate(synthetic, data, out, split=split, **options)


def value(result, column, **where):
    where = {"protocol": "polycontrast"} | where
    rows = [r for r in result.rows if all(getattr(r, k) == v for k, v in where.items())]
    assert len(rows) == 1
    return rows[0].values[column]


def expected_psnr(truth, image, brain):
    low, high = np.percentile(truth[brain], [0.5, 99.5])
    return 10 * math.log10((high - low) ** 2 / np.mean((truth - image)[brain] ** 2))


def test_the_system_is_judged_in_the_truths_own_units(cohort):
    result = run(cohort)
    truth, brain = truth_of(cohort[0], "Brats18_A_1", "T1")
    here = {"case": "Brats18_A_1", "contrast": "T1", "system": "synthetic"}
    assert value(result, "psnr", region="brain", **here) == pytest.approx(
        expected_psnr(truth, np.where(brain, truth + 0.1, 0), brain), abs=1e-3
    )
    assert value(result, "nmae", region="brain", **here) == pytest.approx(0.1 / np.ptp(truth[brain]), rel=1e-4)
    share = brain.mean()
    ratio = value(result, "psnr", region="volume", **here) - value(result, "psnr", region="brain", **here)
    assert ratio == pytest.approx(-10 * math.log10(share), abs=1e-4)  # zero background flatters, by just its share


def test_the_controls_are_what_their_names_say(cohort):
    data = cohort[0]
    result = run(cohort)
    truth, brain = truth_of(data, "Brats18_B_1", "FLAIR")
    given, _ = truth_of(data, "Brats18_B_1", "T2")
    (small, small_brain), (large, large_brain) = (truth_of(data, c, "FLAIR") for c in GAN)
    count = small_brain.astype(int) + large_brain
    mean = np.where(count > 0, (small + large) / np.maximum(count, 1), 0.5)
    wanted = {"copy": given, "mean image": mean, "constant": np.full(SHAPE, 0.5)}
    for system, image in wanted.items():
        found = value(result, "psnr", case="Brats18_B_1", contrast="FLAIR", system=system, region="brain")
        assert found == pytest.approx(expected_psnr(truth, image, brain), abs=1e-4), system


def test_a_case_without_tumour_has_no_tumour_value_and_does_not_count(cohort):
    result = run(cohort)
    here = {"case": "Brats18_C_1", "contrast": "T1", "system": "synthetic", "region": "tumour"}
    for column in POLYCONTRAST.columns:
        assert value(result, column, **here) is None, column
    assert value(result, "ssim_official", protocol="brasyn", **here) is None
    stats = result.summary["results"]["polycontrast"]["T1"]["synthetic"]
    assert stats["tumour"]["psnr"]["n"] == 2
    assert stats["brain"]["psnr"]["n"] == 3


def test_the_summary_names_normalisation_mask_and_range(cohort):
    run(cohort)
    found = json.loads((cohort[3] / "summary.json").read_text(encoding="utf-8"))
    told = found["protocols"]["polycontrast"]
    assert "mean -> 0.5" in told["normalisation"]
    assert "non-zero" in told["mask"]
    assert "0.5-99.5 percentile" in told["data_range"]
    for name in found["protocols"]:
        assert {"normalisation", "mask", "data_range"} <= set(found["protocols"][name])
    assert found["role"] == "test"
    assert found["mean_image"]["cases"] == 2
    assert found["have"] == ["T2"]
    assert found["want"] == ["FLAIR", "T1"]


def test_differences_are_paired_and_have_intervals(cohort):
    result = run(cohort)
    own, copy = (
        [
            r.values["psnr"]
            for r in result.rows
            if (r.contrast, r.system, r.protocol, r.region) == ("T1", system, "polycontrast", "brain")
        ]
        for system in ("synthetic", "copy")
    )
    found = result.summary["differences"]["T1"]["copy"]["brain"]["psnr"]
    assert found["mean"] == pytest.approx(np.mean(np.subtract(own, copy)))
    assert found["interval"][0] <= found["mean"] <= found["interval"][1]


def test_controls_that_are_known_are_not_judged_again_and_change_nothing(cohort, monkeypatch):
    alone = run(cohort)
    judged = []

    def judge(*given):
        judged.append(1)
        return POLYCONTRAST.judge(*given)

    counted = replace(POLYCONTRAST, judge=judge)
    monkeypatch.setitem(PROTOCOLS, "polycontrast", counted)
    again = run(cohort, known=Known(rows=alone.rows))
    assert again == alone
    assert len(judged) == 3 * 2  # cases, contrasts: the system alone
    judged.clear()
    some = [row for row in alone.rows if row.case == "Brats18_A_1"]
    assert run(cohort, known=Known(rows=some)) == alone
    assert len(judged) == 2 + 2 * 2 * 4


def test_the_summary_tells_whose_evaluation_it_is(cohort):
    found = run(cohort).summary
    assert (found["judged"], found["fitted"]) == (TEST, GAN)


def test_a_kill_before_the_end_leaves_no_summary(cohort, monkeypatch):
    run(cohort)

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluation.gallery, "draw", killed)
    with pytest.raises(KeyboardInterrupt):
        run(cohort)
    assert not (cohort[3] / "summary.json").exists()
    assert (cohort[3] / "summary.md").exists()


def test_worst_median_and_best_case_are_drawn_by_psnr(cohort, drawn):
    run(cohort, want=["T1"])
    panels = ["T2", "T1 from T2", "real T1", "difference"]
    worst, median, best = "Brats18_B_1", "Brats18_C_1", "Brats18_A_1"
    assert drawn == [("worst_t1.png", worst, panels), ("median_t1.png", median, panels), ("best_t1.png", best, panels)]


def test_a_confidence_map_beside_the_prediction_is_drawn(cohort, drawn):
    data, synthetic = cohort[:2]
    case = synthetic / "Brats18_B_1"
    brain = truth_of(data, "Brats18_B_1", "T1")[1]
    sure = np.where(brain, np.random.default_rng(0).uniform(0, 1, SHAPE), 0)
    save(case / "Brats18_B_1_t1_confidence.nii.gz", sure.astype(np.float32))
    run(cohort, want=["T1"])
    assert [panels[-1] for _, name, panels in drawn if name == "Brats18_B_1"] == ["confidence"]


def confidence_of_one_value(file, brain):
    save(file, brain.astype(np.float32))


def confidence_damaged(file, _brain):
    file.write_bytes(b"not an image")


def confidence_on_another_grid(file, brain):
    save(file, brain.astype(np.float32), np.eye(4))


@pytest.mark.parametrize(
    ("spoil", "last"),
    [
        (confidence_of_one_value, "confidence"),
        (confidence_damaged, "difference"),
        (confidence_on_another_grid, "difference"),
    ],
)
def test_a_confidence_map_never_ends_an_evaluation(cohort, drawn, spoil, last):
    data, synthetic, _, out = cohort
    case = "Brats18_B_1"
    spoil(synthetic / case / f"{case}_t1_confidence.nii.gz", truth_of(data, case, "T1")[1])
    run(cohort, want=["T1"])
    assert [panels[-1] for _, name, panels in drawn if name == case] == [last]
    assert (out / "summary.json").exists()


@pytest.fixture(name="really_draw")
def _really_draw():
    """Asks `_drawn` to leave the drawing as it is."""


@pytest.mark.usefixtures("really_draw")
def test_all_files_are_written_and_a_second_run_writes_the_same_bytes(cohort):
    out = cohort[3]
    run(cohort, want=["T1"])
    first = {p.name: p.read_bytes() for p in out.iterdir() if p.name != "report.html"}  # it tells the date
    run(cohort, want=["T1"])
    assert {p.name: p.read_bytes() for p in out.iterdir() if p.name != "report.html"} == first
    pictures = {f"{name}_t1.png" for name in ("worst", "median", "best", *CHARTS)}
    assert set(first) == {"cases.csv", "summary.json", "summary.md", *LISTS, *pictures}
    assert (out / "report.html").exists()
    assert b"| T1 | brain | synthetic | 3 |" in first["summary.md"]
    with (out / "cases.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 3 * 4 * (7 + 2)  # cases, systems, regions
    tables.clear(out)
    assert {p.name for p in out.iterdir()} == {"cases.csv", "summary.md"}  # which are always written again


def test_nothing_of_an_earlier_evaluation_is_left_and_what_is_not_ours_stays(cohort):
    out = cohort[3]
    out.mkdir()
    stale = ("worst_t1ce.png", "violins_pd.png", "spectrum.csv", "report.html", "downstream.csv", "failures.csv")
    mine = ("best_friend.png", "worst_t1ce.csv", "notes.csv")
    for name in (*stale, *mine):
        (out / name).write_text("old")
    run(cohort, want=["T1"])
    there = {p.name for p in out.iterdir()}
    assert not there & set(stale)
    assert set(mine) <= there


def spoil_missing_prediction(_data, synthetic):
    (synthetic / "Brats18_A_1" / "Brats18_A_1_t1_synth.nii.gz").unlink()


def spoil_two_predictions(data, synthetic):
    predict(synthetic / "again", data, "Brats18_A_1", "T1", 0.2)


def spoil_nan(data, synthetic):
    predict(synthetic, data, "Brats18_A_1", "T1", np.nan)


def spoil_shape(_data, synthetic):
    save(synthetic / "Brats18_A_1" / "Brats18_A_1_t1_synth.nii.gz", np.ones((20, 20, 20), np.float32))


def spoil_affine(data, synthetic):
    predict(synthetic, data, "Brats18_A_1", "T1", 0.1, affine=np.diag([1.0, 1.0, 1.0, 1.0]))


def spoil_constant_prediction(_data, synthetic):
    save(synthetic / "Brats18_A_1" / "Brats18_A_1_t1_synth.nii.gz", np.full(SHAPE, 0.5, np.float32))


def spoil_constant_truth(data, _synthetic):
    save(data / "Brats18_A_1" / "Brats18_A_1_t1.nii.gz", ball(7).astype(np.float32))


def spoil_flat_truth(data, _synthetic):
    image = ball(7) * np.float32(100)
    image[10, 11, 9] = 900
    save(data / "Brats18_A_1" / "Brats18_A_1_t1.nii.gz", image)


def spoil_absurd_prediction(data, synthetic):
    predict(synthetic, data, "Brats18_A_1", "T1", 1e17)


def spoil_missing_truth(data, _synthetic):
    (data / "Brats18_A_1" / "Brats18_A_1_t1.nii.gz").unlink()


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (spoil_missing_prediction, "no prediction"),
        (spoil_two_predictions, "2 predictions"),
        (spoil_nan, "NaN"),
        (spoil_shape, "20 x 20 x 20"),
        (spoil_affine, "mm apart"),
        (spoil_constant_prediction, "constant"),
        (spoil_constant_truth, "constant"),
        (spoil_flat_truth, "data range is 0"),
        (spoil_absurd_prediction, "1e+17"),
        (spoil_missing_truth, "no truth"),
    ],
)
def test_a_bad_case_is_flagged_and_the_rest_is_judged(cohort, spoil, reason):
    data, synthetic, _, out = cohort
    spoil(data, synthetic)
    result = run(cohort)
    assert [(f.case, f.contrast) for f in result.failures] == [("Brats18_A_1", "T1")]
    assert reason in result.failures[0].reason
    found = result.summary["results"]["polycontrast"]
    assert found["T1"]["synthetic"]["brain"]["psnr"]["n"] == 2
    assert found["T1"]["constant"]["brain"]["psnr"]["n"] == 2  # the controls on the same cases
    assert found["FLAIR"]["synthetic"]["brain"]["psnr"]["n"] == 3
    with (out / "cases.csv").open(newline="") as file:
        flagged = [row for row in csv.DictReader(file) if row["flag"]]
    assert [(row["case"], row["contrast"], row["psnr"]) for row in flagged] == [("Brats18_A_1", "T1", "")]
    assert (out / "failures.csv").read_text(encoding="utf-8").count("Brats18_A_1") == 1 + result.failures[
        0
    ].reason.count("Brats18_A_1")


def test_two_files_of_one_contrast_flag_the_case_and_the_rest_is_judged(cohort):
    data = cohort[0]
    for place in ("", "again"):
        add_case(data / place, "Brats18_A_1", 2)
    result = run(cohort)
    assert {(f.case, f.contrast) for f in result.failures} == {("Brats18_A_1", "FLAIR"), ("Brats18_A_1", "T1")}
    assert "two files" in result.failures[0].reason
    assert {r.case for r in result.rows} == {"Brats18_B_1", "Brats18_C_1"}


@pytest.mark.parametrize("place", ["measures", "look"])
def test_what_cannot_be_measured_is_flagged_without_half_its_rows(cohort, monkeypatch, place):
    def fails(*_):
        raise UserError("cannot be measured")

    def judge(against, image):
        return fails() if against.contrast == "T1" else POLYCONTRAST.judge(against, image)

    if place == "look":
        monkeypatch.setattr(evaluation.looks, "look", fails)
    else:
        monkeypatch.setitem(PROTOCOLS, "polycontrast", replace(POLYCONTRAST, judge=judge))
    result = run(cohort)
    contrasts = ("FLAIR", "T1") if place == "look" else ("T1",)
    expected = [Failure(case, contrast, "cannot be measured") for case in TEST for contrast in contrasts]
    assert result.failures == expected
    assert {row.contrast for row in result.rows} == {"FLAIR", "T1"} - set(contrasts)


def test_a_case_of_a_segmentation_alone_is_flagged_or_left_out_of_the_fit(cohort):
    for case in (GAN[0], TEST[0]):
        for name in NAMES.values():
            (cohort[0] / case / f"{case}_{name}.nii.gz").unlink()
    result = run(cohort)
    found = [(f.case, f.contrast, f.reason) for f in result.failures]
    assert found == [(TEST[0], contrast, "the case has no images") for contrast in ("FLAIR", "T1")]
    assert {r.case for r in result.rows} == set(TEST[1:])
    assert result.summary["mean_image"]["left_out"] == {GAN[0]: "the case has no images"}


def segmenters():
    """They find nothing, in whatever they are shown; the full one asks for T1, T2 and FLAIR."""

    def one(*contrasts):
        def found(_images, brain, _spacing):
            return dict.fromkeys(("whole", "core", "enhancing"), np.zeros_like(brain))

        found.config = SimpleNamespace(contrasts=contrasts)
        return found

    return Segmenters(one("T1", "T2", "FLAIR"), one("T2"))


def test_a_case_whose_synthetic_input_is_not_whole_is_told(cohort):
    spoil_missing_prediction(*cohort[:2])
    for contrast in ("t1", "flair"):
        (cohort[1] / "Brats18_B_1" / f"Brats18_B_1_{contrast}_synth.nii.gz").unlink()
    result = run(cohort, segmenters=segmenters())
    told = {f.case: f.reason for f in result.failures if f.contrast == "downstream"}
    assert told == {"Brats18_A_1": "no synthetic T1", "Brats18_B_1": "no synthetic T1, no synthetic FLAIR"}
    assert {o.case for o in result.outcomes if o.input == "synthetic"} == {"Brats18_C_1"}
    assert {o.case for o in result.outcomes if o.input == "real"} == {"Brats18_A_1", "Brats18_C_1"}


def test_the_segmentation_is_in_every_file_and_a_summary_without_it_has_none(tmp_path):
    facts = {"have": ["T2"], "dropped": False, "cases": 0, "role": "test", "mean_image": {"cases": 0, "note": "none"}}
    outcomes = [Outcome("P0", "real", "whole", dict.fromkeys(downstream.UNITS) | {"dice": 0.75})]
    summary = summarised(tmp_path, [], [], facts, outcomes)
    assert summary["downstream"]["results"]["real"]["whole"]["dice"]["mean"] == 0.75
    assert "## Downstream segmentation\n\n| region" in (tmp_path / "summary.md").read_text(encoding="utf-8")
    assert downstream.read(tmp_path) == outcomes
    assert not (tmp_path / "summary.json").exists()  # the caller's, when all else is there
    assert "downstream" not in summarised(tmp_path, [], [], facts, None)
    assert not (tmp_path / "downstream.csv").exists()
    assert "Downstream" not in (tmp_path / "summary.md").read_text(encoding="utf-8")


def test_a_segmentation_of_unknown_labels_is_flagged_and_the_brain_is_judged_all_the_same(cohort):
    save(cohort[0] / "Brats18_A_1" / "Brats18_A_1_seg.nii.gz", (ball(3) * 9).astype(np.uint8))
    result = run(cohort)
    assert [(f.case, f.contrast) for f in result.failures] == [("Brats18_A_1", "segmentation")]
    assert "label values 9" in result.failures[0].reason
    here = {"case": "Brats18_A_1", "contrast": "T1", "system": "synthetic"}
    assert value(result, "psnr", region="brain", **here) is not None
    assert value(result, "psnr", region="tumour", **here) is None
    assert value(result, "psnr", region="healthy", **here) is None  # nobody knows what is healthy


def test_a_given_image_that_cannot_be_used_costs_its_copy_alone(cohort):
    half = ball(7)
    half[:, :, 9:] = False
    save(cohort[0] / "Brats18_A_1" / "Brats18_A_1_t2.nii.gz", half.astype(np.float32))
    result = run(cohort)
    assert [(f.case, f.contrast) for f in result.failures] == [("Brats18_A_1", "copy")]
    assert "the given T2" in result.failures[0].reason
    of_case = {r.system for r in result.rows if (r.case, r.contrast) == ("Brats18_A_1", "T1")}
    assert of_case == {"synthetic", "mean image", "constant"}


def test_a_case_that_cannot_be_read_at_all_is_flagged_for_every_contrast(cohort):
    (cohort[0] / "Brats18_B_1" / "Brats18_B_1_t2.nii.gz").write_bytes(b"not an image")
    result = run(cohort)
    assert [(f.case, f.contrast) for f in result.failures] == [("Brats18_B_1", "FLAIR"), ("Brats18_B_1", "T1")]


def test_a_case_of_the_split_that_is_not_in_the_data_is_flagged(cohort):
    cohort[2].write_text(json.dumps({"test": [*TEST, "Brats18_X_1"]}))
    result = run(cohort)
    assert {f.case for f in result.failures} == {"Brats18_X_1"}
    assert "mean image" not in result.summary["results"]["polycontrast"]["T1"]
    assert result.summary["mean_image"]["cases"] == 0


def test_a_perfect_prediction_is_infinite_in_the_tables_not_nan(cohort):
    data, synthetic, _, out = cohort
    for case in TEST:
        predict(synthetic, data, case, "T1", 0.0)
    result = run(cohort, want=["T1"])
    psnr = result.summary["results"]["polycontrast"]["T1"]["synthetic"]["brain"]["psnr"]
    assert psnr["mean"] == "inf" or psnr["mean"] > 100  # float32 rounding may leave a last bit
    assert result.summary["results"]["polycontrast"]["T1"]["synthetic"]["brain"]["ssim"]["mean"] == pytest.approx(
        1, abs=1e-6
    )
    assert "nan" not in (out / "summary.json").read_text(encoding="utf-8").lower()


def test_without_a_split_every_case_is_judged(cohort):
    data, synthetic, _, out = cohort
    result = evaluate(synthetic, data, out, want=["T1"])
    assert {f.case for f in result.failures} == set(GAN)  # they have no prediction
    assert {r.case for r in result.rows} == set(TEST)


def test_a_mean_image_leaves_out_cases_of_another_grid_and_says_so(cohort):
    data, _, split, _ = cohort
    shifted = np.diag([1.0, -1.0, 1.0, 1.0])
    add_case(data, "Brats18_H_1", 9, affine=shifted)
    split.write_text(json.dumps({"gan": ["Brats18_H_1", *GAN], "test": TEST}))
    before = run(cohort).summary
    assert before["mean_image"]["cases"] == 2
    assert before["mean_image"]["left_out"] == {"Brats18_H_1": "on another grid than most cases"}
    assert before["mean_image"]["constant_instead"] == []


def test_a_case_off_the_mean_images_grid_gets_the_constant(cohort):
    data, synthetic, _, _ = cohort
    shifted = np.diag([1.0, -1.0, 1.0, 1.0])
    add_case(data, "Brats18_A_1", 2, affine=shifted)
    for contrast in ("T1", "FLAIR"):
        predict(synthetic, data, "Brats18_A_1", contrast, 0.1, affine=shifted)
    result = run(cohort)
    assert result.summary["mean_image"]["constant_instead"] == ["Brats18_A_1"]
    here = {"case": "Brats18_A_1", "contrast": "T1", "region": "brain"}
    assert value(result, "psnr", system="mean image", **here) == value(result, "psnr", system="constant", **here)


@pytest.mark.parametrize("options", [{"role": "nobody"}, {"role": "train"}, {"want": ["T7"]}])
def test_nothing_to_judge_is_the_users_error(cohort, options):
    with pytest.raises(UserError):
        run(cohort, **options)


def test_nothing_given_is_the_users_error_before_anything_is_judged(cohort):
    judged = []
    with pytest.raises(UserError, match="no given contrast"):
        run(cohort, have=(), notify=judged.append)
    assert not judged


def test_of_two_predictions_one_is_to_be_kept_and_a_missing_one_to_be_made(cohort):
    spoil_two_predictions(*cohort[:2])
    find = finder(synthetic_files(cohort[1]), cohort[1])
    with pytest.raises(UserError) as several:
        find("Brats18_A_1", "T1")
    with pytest.raises(UserError) as none:
        find("Brats18_A_1", "T1ce")
    assert "keep one" in several.value.hint
    assert "synth` again" in none.value.hint


def test_a_fitting_role_that_is_named_must_be_there_and_may_be_several(tmp_path):
    split = tmp_path / "split.json"
    split.write_text(json.dumps({"a": ["A"], "b": ["B"], "test": ["C"]}))
    assert evaluation.roles_of(split, "test") == (["C"], [])
    assert evaluation.roles_of(split, "test", "a, b") == (["C"], ["A", "B"])
    assert evaluation.roles_of(split, "test,a") == (["C", "A"], [])
    with pytest.raises(UserError, match="no case has the role 'c'"):
        evaluation.roles_of(split, "test", "a,c")


def told(synthetic, case, contrast, *inputs):
    """A sidecar that says what a volume was made from."""
    sidecar = {"inputs": {name: {"file": f"{name}.nii.gz"} for name in inputs}}
    (synthetic / case / f"{case}_{contrast.lower()}_synth.json").write_text(json.dumps(sidecar))


def test_the_sidecars_say_what_was_given(cohort):
    for case in TEST:
        told(cohort[1], case, "T1", "T1ce")
    result = run(cohort, want=("T1",))
    assert result.summary["have"] == ("T1ce",)
    given, _ = truth_of(cohort[0], "Brats18_B_1", "T1ce")
    truth, brain = truth_of(cohort[0], "Brats18_B_1", "T1")
    found = value(result, "psnr", case="Brats18_B_1", contrast="T1", system="copy", region="brain")
    assert found == pytest.approx(expected_psnr(truth, given, brain), abs=1e-4)
    assert run(cohort, want=("T1",), have=("T2", "T1ce")).summary["have"] == ("T2", "T1ce")  # it made use of one
    told(cohort[1], TEST[0], "FLAIR", "T1")  # of what is not judged
    assert run(cohort, want=("T1",)).summary["have"] == ("T1ce",)


@pytest.mark.parametrize(
    ("have", "second", "words"),
    [
        (("T2",), "T1ce", "made from T1ce, and --have says T2"),
        (None, "T2", "what were they made from"),
        (("T1",), "T1", "both given and judged: T1"),
    ],
)
def test_what_was_given_cannot_be_other_than_the_sidecars_say_nor_be_judged(cohort, have, second, words):
    told(cohort[1], TEST[0], "T1", "T1" if second == "T1" else "T1ce")
    told(cohort[1], TEST[1], "T1", second)
    with pytest.raises(UserError, match=words):
        run(cohort, have=have)
    assert not cohort[3].exists()


def test_an_output_folder_that_cannot_be_is_told_before_anything_is_judged(cohort):
    judged = []
    cohort[3].write_text("a file")
    with pytest.raises(UserError, match="cannot write"):
        run(cohort, notify=judged.append)
    assert not judged


def test_predictions_are_found_through_links_and_in_any_spelling(cohort):
    synthetic, elsewhere = cohort[1], cohort[1].with_name("elsewhere")
    (synthetic / TEST[0]).rename(elsewhere)
    (elsewhere / f"{TEST[0]}_t1_synth.nii.gz").rename(elsewhere / f"{TEST[0]}_T1w_synth.nii.gz")
    (synthetic / "link").symlink_to(elsewhere)
    assert not run(cohort).failures


def test_a_prediction_in_a_scanners_units_is_not_averaged_in(cohort):
    predict(cohort[1], cohort[0], TEST[0], "T1", 400.0)
    result = run(cohort)
    assert [(f.case, f.contrast) for f in result.failures] == [(TEST[0], "T1")]
    assert "normalised units have about 0.5" in result.failures[0].reason


def test_a_background_that_counts_as_brain_is_noted(cohort):
    data = cohort[0]
    noisy = np.random.default_rng(0).uniform(1, 200, SHAPE).astype(np.float32)
    save(data / TEST[0] / f"{TEST[0]}_t1ce.nii.gz", noisy)
    result = run(cohort)
    assert [(f.case, f.contrast) for f in result.failures] == [(TEST[0], "brain")]
    assert "background of T1ce is not 0" in result.failures[0].reason


def test_a_contrast_that_no_fitting_case_has_has_no_mean_image(cohort):
    data, _, split, _ = cohort
    (data / GAN[0] / f"{GAN[0]}_t1.nii.gz").unlink()
    for case in GAN:
        (data / case / f"{case}_flair.nii.gz").unlink()
    split.write_text(json.dumps({"gan": [*GAN, "Brats18_X_1"], "test": TEST}))
    summary = run(cohort).summary
    assert "mean image" in summary["results"]["polycontrast"]["T1"]
    assert "mean image" not in summary["results"]["polycontrast"]["FLAIR"]
    assert summary["mean_image"]["note"].startswith("of T1 1; ")
    assert summary["mean_image"]["left_out"] == {"Brats18_X_1": "not in the data"}


def test_a_folder_without_synthetic_volumes_is_the_users_error(cohort, tmp_path):
    with pytest.raises(UserError, match="_synth"):
        evaluate(tmp_path / "nothing", cohort[0], cohort[3])


@pytest.mark.real
def test_a_real_t2_handed_in_as_t1_scores_as_the_control_copy(tmp_path):
    root = os.environ.get("POLYCONTRAST_REAL_DATA")
    if not root:
        pytest.skip("POLYCONTRAST_REAL_DATA is not set: no real patients here")
    case = find_cases(Path(root) / "cohort")[0]
    given = formats.read(case.contrasts["T2"])
    mask = intensity.brain_mask([given.array])
    image = intensity.fit(given.array, mask).apply(given.array, mask)
    save(tmp_path / "s" / f"{case.id}_t1_synth.nii.gz", image, given.geometry.affine)
    split = tmp_path / "split.json"
    split.write_text(json.dumps({"test": [case.id]}))
    result = evaluate(tmp_path / "s", Path(root) / "cohort", tmp_path / "out", split=split)
    assert not result.failures
    rows = {(r.system, r.region): r.values for r in result.rows if r.protocol == "polycontrast"}
    for region in ("brain", "tumour", "volume"):
        known = {name: value for name, value in rows["copy", region].items() if value is not None}
        assert {"psnr", "ssim", "nmae"} <= set(known)
        assert {n: rows["synthetic", region][n] for n in known} == pytest.approx(known, rel=1e-4), region
    assert rows["synthetic", "brain"]["psnr"] < rows["synthetic", "volume"]["psnr"]
