"""The truth as measures see it: canonical, normalised, and the way back to the file's units."""

import nibabel as nib
import numpy as np
import pytest

from polycontrast.errors import UserError
from polycontrast.io.layout import find_cases
from polycontrast.metrics.reference import SEGMENTATION, load, read_prediction, reference

from ..tiny import LPS, draw_case, images, write


@pytest.fixture(name="real")
def _real(tmp_path):
    draw_case(tmp_path, "BraTS2021_00001")
    return load(find_cases(tmp_path)[0], "T2")


def reoriented(path):
    """The same image on disk with its axes in another order."""
    image = nib.load(path).as_reoriented(np.array([[2, -1], [0, 1], [1, -1]]))
    nib.save(image, path)


def test_the_truth_in_file_units_is_what_the_file_holds(real):
    drawn = images(0)[0]["t1"][::-1, ::-1]  # stored left-posterior-superior
    assert np.allclose(reference(real, "T1").raw, drawn, atol=1e-3 * drawn.max())


def test_a_background_of_another_value_is_no_brain(tmp_path, real):
    case = draw_case(tmp_path / "again", "BraTS2021_00001")
    for name, array in images(0)[0].items():
        write(case / f"BraTS2021_00001_{name}.nii.gz", np.where(array == 0, np.float32(-1), array))
    again = load(find_cases(tmp_path / "again")[0], "T2")
    assert np.array_equal(again.brain, real.brain)
    assert all(np.array_equal(again.images[name], image) for name, image in real.images.items())


def test_an_image_comes_back_from_file_units_to_itself(real):
    against = reference(real, "T1")
    again = against.intensity.apply(against.as_file(against.truth), against.brain)
    assert np.allclose(again, against.truth, atol=1e-5)


def test_truth_and_regions_do_not_depend_on_how_the_files_are_stored(tmp_path, real):
    draw_case(tmp_path / "again", "BraTS2021_00001")
    for path in (tmp_path / "again").rglob("*.nii.gz"):
        reoriented(path)
    again = load(find_cases(tmp_path / "again")[0], "T2")
    assert again.spacing == real.spacing
    for name, image in real.images.items():
        assert np.allclose(again.images[name], image, atol=1e-6), name
    for name, mask in real.regions.items():
        assert np.array_equal(again.regions[name], mask), name


def test_a_prediction_is_read_into_the_orientation_of_the_truth(tmp_path, real):
    stored = np.asarray(real.images["T1"][::-1, ::-1])
    path = write(tmp_path / "x_t1_synth.nii.gz", stored, LPS)
    assert np.array_equal(read_prediction(path, real), real.images["T1"])


def test_the_data_range_is_the_truths_percentile_span_in_the_brain(real):
    against = reference(real, "FLAIR")
    low, high = np.percentile(against.truth[against.brain], [0.5, 99.5])
    assert against.data_range == pytest.approx(high - low)


def test_a_contrast_that_the_case_lacks_is_no_truth(tmp_path):
    draw_case(tmp_path, "BraTS2021_00002", t1=None)
    with pytest.raises(UserError, match="no truth: the case has no T1"):
        reference(load(find_cases(tmp_path)[0]), "T1")


def test_a_truth_that_is_flat_but_for_one_voxel_has_no_range_and_is_refused(tmp_path):
    flat = images(0)[0]["t1"]
    flat[flat != 0] = 100
    flat[24, 24, 6] = 900
    draw_case(tmp_path, "BraTS2021_00005", t1=flat)
    real = load(find_cases(tmp_path)[0])
    assert "T1" in real.images
    with pytest.raises(UserError, match="data range is 0"):
        reference(real, "T1")


def test_a_case_of_a_segmentation_alone_is_refused(tmp_path):
    draw_case(tmp_path, "BraTS2021_00006", **dict.fromkeys(("t1", "t1ce", "t2", "flair")))
    with pytest.raises(UserError, match="no images"):
        load(find_cases(tmp_path)[0])


def test_a_label_map_that_cannot_tell_a_region_says_so(tmp_path):
    draw_case(tmp_path, "BraTS2021_00003", seg=(images(0)[1] > 0).astype(np.uint8))
    (tmp_path / "labels.json").write_text('{"BraTS2021_00003": "binary"}')
    real = load(find_cases(tmp_path)[0])
    assert real.told == ("whole",)
    assert real.tumour.any()
    assert not real.regions["core"].any()


def test_a_segmentation_on_another_grid_is_a_flaw_and_the_brain_is_there(tmp_path):
    draw_case(tmp_path, "BraTS2021_00004", seg=np.zeros((10, 10, 10), dtype=np.uint8))
    real = load(find_cases(tmp_path)[0])
    assert SEGMENTATION in real.flaws
    assert real.told == ()
    assert real.brain.any()
    assert not real.tumour.any()
