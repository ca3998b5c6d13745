"""What a judged volume adds to the figures: numbers by hand, files with them."""

import csv

import numpy as np
import pytest
from PIL import Image

from polycontrast.data.intensity import Intensity
from polycontrast.metrics import looks
from polycontrast.metrics.reference import Reference


def against(contrast="T1", shape=(24, 24, 16), seed=0, tumour=True, brain=None):
    """A truth of noise in a ball, a block of it the tumour."""
    rng = np.random.default_rng(seed)
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    brain = sum(a * a for a in axes) < 0.9 if brain is None else brain
    lesion = np.zeros(shape, bool)
    if tumour:
        lesion[10:14, 10:14, 6:9] = True
    none = np.zeros(shape, bool)
    truth = np.where(brain, rng.normal(0.5, 0.25, shape), 0).astype(np.float32)
    masks = {"brain": brain, "tumour": lesion, "enhancing": none, "healthy": brain & ~lesion}
    return Reference(contrast, truth, Intensity(100, 20), masks, 1.0, (2.0, 2.0, 2.0))


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_means_are_of_the_regions_that_have_voxels():
    real = against()
    image = np.where(real.regions["tumour"], real.truth - 0.3, real.truth).astype(np.float32)
    found = looks.look("a", real, image).means
    assert set(found) == {"tumour", "healthy", "brain"}
    assert found["tumour"][1] - found["tumour"][0] == pytest.approx(-0.3, abs=1e-6)
    assert found["healthy"][0] == found["healthy"][1]


def test_the_joint_histogram_of_equal_images_lies_on_its_diagonal_and_counts_every_voxel():
    real = against()
    joint = looks.look("a", real, real.truth).joint
    assert joint.sum() == real.brain.sum()
    assert np.count_nonzero(joint - np.diag(np.diag(joint))) == 0


def test_values_beyond_the_bins_are_counted_in_the_outermost():
    real = against()
    joint = looks.look("a", real, np.where(real.brain, 99, 0).astype(np.float32)).joint
    assert joint[:, -1].sum() == real.brain.sum()
    assert looks.look("a", real, np.where(real.brain, -99, 0).astype(np.float32)).joint[:, 0].sum() == joint.sum()


def test_bins_are_those_of_numpys_histogram():
    real = against()
    image = (real.truth * 0.8 + 0.01).astype(np.float32)
    expected, _, _ = np.histogram2d(real.truth[real.brain], image[real.brain], bins=[looks.EDGES, looks.EDGES])
    moved = np.abs(looks.look("a", real, image).joint - expected).sum() / expected.sum()
    assert moved < 1e-3  # a value on an edge may fall to either side


def test_half_the_signal_has_a_quarter_of_the_power():
    real = against()
    found = looks.look("a", real, (0.5 * real.truth).astype(np.float32))
    assert found.image_power == pytest.approx(found.truth_power / 4, rel=1e-4)
    assert found.frequencies[-1] <= 0.25  # of voxels of 2 mm


def test_spectra_of_brains_of_different_size_meet_on_common_frequencies():
    seen = []
    for case, size in (("a", 24), ("b", 40)):
        real = against(shape=(size, size, 16))
        seen.append(looks.look(case, real, (2 * real.truth).astype(np.float32)))
    frequencies, real_power, synthetic_power = looks.spectra(seen)
    assert frequencies[0] >= max(one.frequencies[0] for one in seen)
    assert frequencies[-1] <= min(one.frequencies[-1] for one in seen)
    assert synthetic_power.shape == real_power.shape == (2, len(frequencies))
    assert synthetic_power / real_power == pytest.approx(4.0, rel=1e-3)


def test_charts_and_their_numbers_are_written_per_contrast(tmp_path):
    seen = [looks.look(f"c{i}", real := against(name, seed=i), real.truth) for name in ("T1", "FLAIR") for i in (0, 1)]
    drawn = looks.draw(tmp_path, seen)
    assert list(drawn) == ["bland_altman", "spectrum", "joint_histogram"]
    assert all(list(by_contrast) == ["T1", "FLAIR"] for by_contrast in drawn.values())
    for by_contrast in drawn.values():
        assert all(Image.open(path).format == "PNG" for path in by_contrast.values())
    means = rows_of(tmp_path / "bland_altman.csv")
    assert {(r["case"], r["contrast"], r["region"]) for r in means} == {
        (case, contrast, region)
        for case in ("c0", "c1") for contrast in ("T1", "FLAIR") for region in ("tumour", "healthy", "brain")
    }  # fmt: skip
    assert all(r["real"] == r["synthetic"] for r in rows_of(tmp_path / "spectrum.csv"))
    voxels = sum(int(r["voxels"]) for r in rows_of(tmp_path / "joint_histogram.csv"))
    assert voxels == sum(int(one.joint.sum()) for one in seen)


def test_a_cohort_without_tumours_has_no_plot_of_them_and_keeps_that_of_healthy_tissue(tmp_path, monkeypatch):
    panels = []
    monkeypatch.setattr(looks.pictures, "bland_altman", lambda _, shown, unit: panels.append((list(shown), unit)))
    looks.draw(tmp_path, [looks.look("a", real := against(tumour=False), real.truth)])
    assert panels == [(["healthy"], "normalised units")]


def test_readings_are_those_of_patients_not_of_visits():
    real = against()
    seen = [
        looks.look(f"BraTS-GLI-00000-{v:03d}", real, np.where(real.brain, v, 0).astype(np.float32)) for v in range(3)
    ]
    truths, images = looks.readings([*seen, looks.look("other", real, real.truth)], "healthy")
    assert images == pytest.approx([1.0, truths[1]])


def test_an_image_without_any_power_is_drawn_all_the_same(tmp_path):
    real = against()
    drawn = looks.draw(tmp_path, [looks.look("a", real, np.where(real.brain, 0.5, 0).astype(np.float32))])
    assert drawn["spectrum"]["T1"].exists()


def test_a_brain_of_one_voxel_has_no_spectrum_and_breaks_nothing(tmp_path):
    brain = np.zeros((12, 12, 12), bool)
    brain[5, 5, 5] = True
    drawn = looks.draw(tmp_path, [looks.look("a", real := against(shape=brain.shape, brain=brain), real.truth)])
    assert drawn["spectrum"] == {}


def test_nothing_judged_gives_tables_of_heads_alone(tmp_path):
    assert all(not by_contrast for by_contrast in looks.draw(tmp_path, []).values())
    assert rows_of(tmp_path / "spectrum.csv") == []
