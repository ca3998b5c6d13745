"""What comes back lies where the input lies, and is the same however the input is given, stored or batched."""

import itertools
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nibabel.orientations import apply_orientation

from polycontrast import config
from polycontrast.data import intensity
from polycontrast.errors import UserError
from polycontrast.infer import slices as module
from polycontrast.infer.synthesizer import Synthesizer
from polycontrast.io import nifti
from polycontrast.io.volume import Geometry, Volume

from .. import models, tiny
from . import places
from .conftest import brain, volume

ORIENTATIONS = [
    np.array(list(zip(axes, flips, strict=True)))
    for axes in itertools.permutations(range(3))
    for flips in itertools.product((1, -1), repeat=3)
]
OBLIQUE = places.affine(spacing=(6.0, 5.0, 8.0), angles=(0.1, -0.2, 0.15), offset=(-70.0, 12.5, 3.0))


@pytest.fixture(scope="module", params=["paper", "volume"])
def model(request: pytest.FixtureRequest, synthesizer: Synthesizer, volume_units: Synthesizer) -> Synthesizer:
    return synthesizer if request.param == "paper" else volume_units


def arrays(made: dict[str, Volume]) -> np.ndarray:
    return np.stack([made[name].array for name in sorted(made)])


def test_there_are_48_orientations() -> None:
    letters = {Geometry.from_affine((2, 2, 2), reoriented(OBLIQUE, o)).orientation for o in ORIENTATIONS}
    assert len(letters) == 48


def reoriented(affine: np.ndarray, ornt: np.ndarray, shape: tuple[int, int, int] = (21, 26, 9)) -> np.ndarray:
    """Where the voxels lie after `apply_orientation`."""
    return affine @ nib.orientations.inv_ornt_aff(ornt, shape)


def test_content_follows_the_orientation_in_all_48(model: Synthesizer) -> None:
    shape = (21, 26, 9)
    given = brain(shape)
    made = model({"T2": Volume(given, Geometry.from_affine(shape, OBLIQUE))})
    for ornt in ORIENTATIONS:
        turned = np.ascontiguousarray(apply_orientation(given, ornt))
        geometry = Geometry.from_affine(turned.shape, reoriented(OBLIQUE, ornt))
        again = model({"T2": Volume(turned, geometry)})
        for name in made:
            expected = apply_orientation(made[name].array, ornt)
            np.testing.assert_array_equal(again[name].array, expected, err_msg=f"{name} {ornt}")


def test_voxels_alone_do_not_tell_the_orientation(model: Synthesizer) -> None:
    """The test above could pass with a model that is blind to directions: flip the voxels but not their place."""
    given = volume((21, 26, 9), OBLIQUE)
    flipped = given.with_array(np.ascontiguousarray(given.array[::-1]))
    assert not np.array_equal(arrays(model({"T2": flipped}))[:, ::-1], arrays(model({"T2": given})))


@settings(max_examples=60)
@given(place=places.geometries(), seed=st.integers(0, 9))
def test_geometry_is_the_inputs_to_the_bit(synthesizer: Synthesizer, place: Geometry, seed: int) -> None:
    before = place.header.binaryblock
    made = synthesizer({"T2": Volume(brain(place.shape, seed), place)}, ["T1"])["T1"]
    assert made.geometry.header.binaryblock == before
    assert made.array.shape == place.shape


def test_what_comes_back_is_finite_float32_and_zero_outside_the_brain(model: Synthesizer) -> None:
    given = volume((21, 26, 9), OBLIQUE)
    outside = ~intensity.brain_mask([given.array])
    assert outside.any()
    made = model({"T2": given})
    assert tuple(made) == ("FLAIR", "T1ce", "T1")
    for name, result in made.items():
        assert result.array.dtype == np.float32
        assert np.isfinite(result.array).all()
        assert not result.array[outside].any()
        assert result.array[~outside].std() > 0, name
        assert result.path is None
    assert not np.array_equal(made["T1"].array, made["FLAIR"].array)


def test_units_are_mapped_with_the_runs_gain_and_offset(run: Path, tmp_path: Path) -> None:
    units = Synthesizer.load(run).config.units
    gain, offset = units["T1"]
    doubled = {name: (2 * g, 2 * o) for name, (g, o) in units.items()}
    other = Synthesizer.load(models.make_run(tmp_path / "doubled", units=doubled))
    given = {"T2": volume((21, 26, 9), OBLIQUE)}
    once, twice = (s(given, ["T1"])["T1"].array for s in (Synthesizer.load(run), other))
    np.testing.assert_array_equal(twice, 2 * once)
    assert (gain, offset) != (0.5, 0.5)


@pytest.mark.parametrize("batch", [1, 2, 5, 100])
def test_results_do_not_depend_on_how_many_slices_go_at_a_time(
    model: Synthesizer, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"T2": volume((21, 26, 9), OBLIQUE)}
    usual = arrays(model(given))
    monkeypatch.setattr(module, "_BATCH", batch)
    np.testing.assert_allclose(arrays(model(given)), usual, atol=2e-6)


def test_one_contrast_alone_is_what_it_is_among_others(model: Synthesizer) -> None:
    given = {"T2": volume((21, 26, 9), OBLIQUE)}
    everything = model(given)
    np.testing.assert_array_equal(model(given, ["t1-ce"])["T1ce"].array, everything["T1ce"].array)
    assert list(model(given, "t1,flair")) == ["T1", "FLAIR"]


def test_same_input_twice_gives_the_same_bytes(model: Synthesizer, tmp_path: Path) -> None:
    given = {"T2": volume((21, 26, 9), OBLIQUE)}
    for name in ("a", "b"):
        made = model(given, ["T1"])["T1"]
        nifti.write(tmp_path / name / "x.nii.gz", made.array, made.geometry)
    assert (tmp_path / "a/x.nii.gz").read_bytes() == (tmp_path / "b/x.nii.gz").read_bytes()


def test_a_path_an_image_an_array_and_a_volume_give_the_same_numbers(synthesizer: Synthesizer, tmp_path: Path) -> None:
    array = brain((21, 26, 9))
    image = nib.Nifti1Image(array, np.eye(4))
    nib.save(image, tmp_path / "t2.nii.gz")
    given = [array, array.astype(np.float64), image, tmp_path / "t2.nii.gz", str(tmp_path / "t2.nii.gz")]
    given += [nifti.read(tmp_path / "t2.nii.gz"), nib.load(tmp_path / "t2.nii.gz")]
    first, *others = (arrays(synthesizer({"t2w": image})) for image in given)
    for other in others:
        np.testing.assert_array_equal(other, first)


def test_intensities_are_relative(synthesizer: Synthesizer, volume_units: Synthesizer) -> None:
    """A scanner's gain is arbitrary: a volume four times as bright gives the same."""
    given = volume((21, 26, 9), OBLIQUE)
    for model in (synthesizer, volume_units):
        bright = model({"T2": given.with_array(4 * given.array)})
        np.testing.assert_allclose(arrays(bright), arrays(model({"T2": given})), atol=1e-5)


@pytest.mark.parametrize(
    ("images", "want", "words"),
    [
        ({}, None, "needs T2, found nothing"),
        ({"T1": "x"}, None, "needs T2, found T1"),
        ({"T2": "x"}, ["T2"], "both given and wanted: T2"),
        ({"T2": "x"}, ["PD"], "not trained to make PD"),
        ({"T2": "x"}, ["T9"], "unknown contrast 'T9'"),
        ({"T2": "x"}, [], "no contrast is wanted"),
        ({"T2": "x", "t2w": "x"}, None, "two images of one contrast"),
        ({"Tea": "x"}, None, "unknown contrast 'Tea'"),
    ],
)
def test_what_the_model_cannot_do_is_refused(
    synthesizer: Synthesizer, images: dict[str, str], want: list[str] | None, words: str
) -> None:
    given = {name: brain((8, 8, 8)) for name in images}
    with pytest.raises(UserError, match=words) as caught:
        synthesizer(given, want)
    assert caught.value.hint


def test_images_on_two_grids_are_refused(synthesizer: Synthesizer) -> None:
    with pytest.raises(UserError, match="different grids"):
        synthesizer({"T2": brain((8, 8, 8)), "T1": brain((8, 8, 9))})


@pytest.mark.parametrize(("value", "words"), [(0.0, "no brain"), (7.0, "constant")])
def test_an_image_without_contrast_is_refused_by_its_file(
    synthesizer: Synthesizer, tmp_path: Path, value: float, words: str
) -> None:
    file = tiny.write(tmp_path / "t2.nii.gz", np.full((8, 8, 8), value, np.float32))
    with pytest.raises(UserError, match=words) as caught:
        synthesizer({"T2": file})
    assert caught.value.path == file


@pytest.mark.parametrize(("value", "words"), [(0.0, "every voxel is zero"), (7.0, "constant")])
def test_of_several_images_the_one_without_contrast_is_named(tmp_path: Path, value: float, words: str) -> None:
    model = Synthesizer.load(models.make_run(tmp_path / "run", models.any_subset()))
    good = tiny.write(tmp_path / "t1.nii.gz", brain((24, 24, 8)))
    bad = tiny.write(tmp_path / "t2.nii.gz", np.full((24, 24, 8), value, np.float32))
    with pytest.raises(UserError, match=words) as caught:
        model({"T1": good, "T2": bad})
    assert caught.value.path == bad
    assert ("leave it out" in caught.value.hint) == (value == 0)


def test_a_background_of_another_value_changes_nothing(synthesizer: Synthesizer) -> None:
    given = volume((21, 26, 9), OBLIQUE)
    other = given.with_array(np.where(given.array == 0, np.float32(2.6e-5), given.array))
    np.testing.assert_array_equal(arrays(synthesizer({"T2": other})), arrays(synthesizer({"T2": given})))


@pytest.mark.parametrize("device", [None, "cpu", torch.device("cpu")])
def test_a_device_may_be_told_by_its_name(run: Path, device: str | torch.device | None) -> None:
    model = Synthesizer.load(run, device=device)
    assert model.device == torch.device("cpu")
    assert model({"T2": volume((8, 8, 8), OBLIQUE)}, ["T1"])["T1"].shape == (8, 8, 8)


@pytest.mark.parametrize("device", ["auto", "gpu", "cuda:99"])
def test_a_device_that_is_not_there_is_refused_in_words(run: Path, device: str) -> None:
    with pytest.raises(UserError, match=f"device '{device}' is not there"):
        Synthesizer.load(run, device)


def test_images_without_their_contrasts_are_refused(synthesizer: Synthesizer) -> None:
    with pytest.raises(UserError, match="images by contrast are expected, found str"):
        synthesizer("t2.nii.gz")  # type: ignore[arg-type]


def test_voxels_too_small_for_a_head_are_refused_before_memory_is_asked_for(synthesizer: Synthesizer) -> None:
    in_metres = volume((8, 8, 8), np.diag([0.001, 0.001, 0.001, 1]))
    with pytest.raises(UserError, match="too small") as caught:
        synthesizer({"T2": in_metres})
    assert "mm" in caught.value.hint


def test_a_model_of_another_architecture_is_refused(run: Path, tmp_path: Path) -> None:
    recipe = tiny.recipe()
    wider = replace(recipe, system=replace(recipe.system, base=8))
    other = models.make_run(tmp_path / "wider", wider)
    (other / "config.json").write_bytes((run / "config.json").read_bytes())
    with pytest.raises(UserError, match="not those of the recipe") as caught:
        Synthesizer.load(other)
    assert caught.value.path == other / "checkpoint" / "weights.safetensors"


def test_weights_of_another_depth_are_refused(tmp_path: Path) -> None:
    recipe = tiny.recipe()
    other = models.make_run(tmp_path / "deep", recipe)
    shallower = replace(recipe, system=replace(recipe.system, levels=4))
    models.make_run(tmp_path / "shallow", shallower)
    described = models.make_run(tmp_path / "third", recipe=shallower) / "config.json"
    (other / "config.json").write_bytes(described.read_bytes())
    with pytest.raises(UserError, match="not those of the recipe"):
        Synthesizer.load(other)


def test_a_model_is_named_by_its_folder_and_hash(run: Path, synthesizer: Synthesizer, tmp_path: Path) -> None:
    assert synthesizer.name == "tiny"
    assert synthesizer.sha256 != Synthesizer.load(models.make_run(tmp_path / "other", seed=1)).sha256
    assert synthesizer.config.recipe == tiny.recipe()
    assert config.to_dict(synthesizer.config.recipe)["name"] == "tiny"
    assert run.name == "tiny"
