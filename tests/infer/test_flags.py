"""What is unlike the training images is told in its own words; what is like them is not."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from polycontrast.data import cache, descriptors, grid, phantom
from polycontrast.infer.flags import case_flags, flags
from polycontrast.io import formats, nifti
from polycontrast.io.layout import find_cases
from polycontrast.io.volume import Geometry, Volume

from .conftest import volume

MM = 4.2
SHAPE = (42, 52, 42)
CONTRASTS = ("T1", "T2")


def of(made: phantom.Phantom, contrast: str = "T2") -> Volume:
    image = made.contrasts[contrast]
    return Volume(image, Geometry.from_affine(image.shape, made.affine))


def filled(array: np.ndarray) -> np.ndarray:
    """The image with a background of noise."""
    noise = np.random.default_rng(0).uniform(1, 2, array.shape)
    return np.where(array == 0, noise, array).astype(np.float32)


def test_a_skull_stripped_phantom_is_not_flagged() -> None:
    assert flags(of(phantom.make(1, (60, 60, 40), 3.0))) == []


def test_a_phantom_with_its_skull_is() -> None:
    (told,) = flags(of(phantom.make(1, (60, 60, 40), 3.0, skull=True)))
    assert "strip the skull" in told


def test_a_skull_on_a_background_of_zero_is_told_without_knowing_what_is_usual() -> None:
    made = phantom.make(1, (48, 58, 48), 4.2, skull=True)
    for contrast in made.contrasts:
        image = of(made, contrast)
        thick, told = flags(image.with_array(np.where(made.tissue > 0, image.array, 0)), contrast)
        assert "thick slices (4.2 mm)" in thick
        assert "strip the skull" in told


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_thick_slices_are_told_with_their_thickness_along_any_axis(axis: int) -> None:
    spacing = np.insert([1.0, 1.0], axis, 5.5)
    (told,) = flags(volume((20, 20, 20), np.diag([*spacing, 1.0])))
    assert "5.5 mm" in told


def test_a_few_hot_voxels_are_told_for_they_are_the_scale_of_all_others() -> None:
    image = of(phantom.make(1, (60, 60, 40), 3.0))
    array = image.array.copy()
    array[30, 30, 18:22] = 100 * array.max()
    (told,) = flags(image.with_array(array))
    assert "clip them" in told
    assert f"up to {array.max():.4g}" in told


def test_a_synthetic_image_under_a_real_ones_name_is_told(tmp_path: Path) -> None:
    image = of(phantom.make(1, (60, 60, 40), 3.0))
    nifti.write(tmp_path / "p_t2.nii.gz", image.array, image.geometry, description="SYNTHETIC T2 by polycontrast 0.1")
    (told,) = flags(formats.read(tmp_path / "p_t2.nii.gz"))
    assert "synthetic image of polycontrast" in told


def test_both_are_told_at_once() -> None:
    given = volume((6, 6, 6), np.diag([1.0, 1.0, 6.0, 1.0]))
    thick, skull = flags(given.with_array(filled(given.array)))
    assert "thick slices" in thick
    assert "strip the skull" in skull


def test_a_brain_that_touches_the_edge_of_a_tight_crop_is_not_flagged() -> None:
    given = volume((20, 20, 20), np.eye(4))
    touching = np.zeros((20, 20, 20), np.float32)
    touching[5:15, 5:15, :15] = 1
    assert flags(given.with_array(touching)) == []


@pytest.mark.parametrize("shown", [slice(20, 21), slice(20, 24), slice(15, 35)])
def test_a_slab_of_a_brain_has_an_empty_background(shown: slice) -> None:
    """The brain reaches the upper and the lower face, and the sides of a tight crop."""
    whole = phantom.make(1, (90, 110, 60), 2.0, contrasts=("T2",))
    inside = whole.brain.any(axis=2)
    x, y = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
    cut = whole.contrasts["T2"][x[0] : x[-1] + 1, y[0] : y[-1] + 1, shown]
    given = volume(cut.shape, np.diag([2.0, 2.0, 2.0, 1.0]))
    assert not any("background" in told for told in flags(given.with_array(cut)))
    assert any("background" in told for told in flags(given.with_array(filled(cut))))


@pytest.mark.parametrize("value", [2.6e-5, -1.0])
def test_a_background_of_another_value_is_told_as_that_and_not_as_a_skull(value: float) -> None:
    given = of(phantom.make(1, (60, 60, 40), 3.0))
    array = np.where(given.array == 0, np.float32(value), given.array)
    (told,) = flags(given.with_array(array))
    assert f"the background is {value:.2g} everywhere, not 0" in told
    (told,) = case_flags({"T1": given.with_array(array), "T2": given, "FLAIR": given.with_array(array)}, {})
    assert told.startswith("T1, FLAIR: the background")


def test_an_empty_volume_has_no_flags_for_it_is_refused_elsewhere() -> None:
    given = volume((6, 6, 6), np.eye(4))
    assert flags(given.with_array(np.zeros((6, 6, 6), np.float32))) == []


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> descriptors.Typical:
    """What is usual among phantoms, as a run's config.json holds it."""
    folder = phantom.write_cohort(tmp_path_factory.mktemp("usual"), 8, shape=SHAPE, spacing=MM, contrasts=CONTRASTS)
    entries = cache.cached(find_cases(folder), CONTRASTS, tmp_path_factory.mktemp("cache"))
    return descriptors.typical(entries)


@pytest.fixture(scope="module")
def made() -> phantom.Phantom:
    """One that the ranges were not made of."""
    return phantom.make(99, SHAPE, MM, contrasts=CONTRASTS)


def turned(given: Volume, axes: tuple[int, int, int], flips: tuple[int, int, int] = (1, 1, 1)) -> Volume:
    """Another orientation of the voxels, but the same header."""
    array = given.array.transpose(axes)[tuple(slice(None, None, f) for f in flips)]
    return Volume(array, Geometry.from_affine(array.shape, given.geometry.affine))


def cylinder(radius: float, length: float) -> np.ndarray:
    """A limb along the body's axis, its bone dark; noise in it."""
    x, y, z = np.meshgrid(*((np.arange(n) - n / 2) * MM for n in SHAPE), indexing="ij")
    values = 100 + np.random.default_rng(0).normal(0, 10, SHAPE) - 60 * (x * x + y * y < 200)
    return np.where((x * x + y * y < radius**2) & (abs(z) < length / 2), values, 0).astype(np.float32)


class TestKnowingWhatIsUsual:
    @pytest.mark.parametrize("contrast", CONTRASTS)
    def test_a_plain_phantom_is_not_flagged(
        self, usual: descriptors.Typical, made: phantom.Phantom, contrast: str
    ) -> None:
        assert flags(of(made, contrast), contrast, usual) == []

    def test_a_bright_shell_around_the_brain_is_a_skull(
        self, usual: descriptors.Typical, made: phantom.Phantom
    ) -> None:
        far = ndimage.distance_transform_edt(~made.brain, sampling=MM)
        around = (far > 5) & (far < 14)
        (told,) = flags(of(made).with_array(np.where(around, 2000, made.contrasts["T2"])), "T2", usual)
        assert "strip the skull first (e.g. HD-BET, SynthStrip)" in told

    @pytest.mark.parametrize("axes", [(1, 0, 2), (2, 1, 0), (1, 2, 0)])
    def test_exchanged_axes_are_an_orientation_other_than_the_headers(
        self, usual: descriptors.Typical, made: phantom.Phantom, axes: tuple[int, int, int]
    ) -> None:
        (told,) = flags(turned(of(made), axes), "T2", usual)
        assert "is the header's orientation right?" in told

    @pytest.mark.parametrize("flips", [(1, 1, -1), (1, -1, 1), (1, -1, -1)])
    def test_so_is_a_brain_upside_down_or_back_to_front(
        self, usual: descriptors.Typical, made: phantom.Phantom, flips: tuple[int, int, int]
    ) -> None:
        (told,) = flags(turned(of(made), (0, 1, 2), flips), "T2", usual)
        assert "is the header's orientation right?" in told

    @pytest.mark.parametrize("radius", [35, 60])
    def test_a_limb_is_another_body_part(self, usual: descriptors.Typical, made: phantom.Phantom, radius: int) -> None:
        (told,) = flags(of(made).with_array(cylinder(radius, 170)), "T2", usual)
        assert "is it another body part" in told

    def test_half_a_brain_is_told_with_what_was_found_and_what_is_usual(
        self, usual: descriptors.Typical, made: phantom.Phantom
    ) -> None:
        array = made.contrasts["T2"].copy()
        array[:, :, :21] = 0
        (told,) = flags(of(made).with_array(array), "T2", usual)
        assert "a part of a brain" in told
        low, high = usual["T2"]["height_mm"]
        assert f"mm high, usual {low:.0f} to {high:.0f}" in told

    @pytest.mark.parametrize("contrast", CONTRASTS)
    def test_an_inverted_image_looks_inverted(
        self, usual: descriptors.Typical, made: phantom.Phantom, contrast: str
    ) -> None:
        array = made.contrasts[contrast]
        (told,) = flags(
            of(made, contrast).with_array(np.where(made.brain, array.max() + 1 - array, 0)), contrast, usual
        )
        assert f"is this really a {contrast}?" in told
        assert "inverted" in told

    @pytest.mark.parametrize(("shown", "said"), [("T1", "T2"), ("T2", "T1")])
    def test_one_contrast_offered_as_another_is_told_by_its_name(
        self, usual: descriptors.Typical, made: phantom.Phantom, shown: str, said: str
    ) -> None:
        (told,) = flags(of(made, shown), said, usual)
        assert f"is this really a {said}?" in told
        assert f"more like those of a {shown}" in told

    def test_thick_is_what_is_thicker_than_the_models_know(
        self, usual: descriptors.Typical, made: phantom.Phantom
    ) -> None:
        assert flags(of(made), "T2", usual) == []  # 4.2 mm, as all
        thick = made.contrasts["T2"][:, :, ::2]
        place = Geometry.from_affine(thick.shape, made.affine @ np.diag([1.0, 1.0, 2.0, 1.0]))
        (told,) = flags(Volume(thick, place), "T2", usual)
        assert "thick slices (8.4 mm): the models know about 4.2 mm" in told

    def test_a_contrast_of_which_nothing_is_known_is_judged_as_without(
        self, usual: descriptors.Typical, made: phantom.Phantom
    ) -> None:
        (told,) = flags(turned(of(made), (2, 1, 0)), "PD", usual)
        assert "thick slices (4.2 mm)" in told

    def test_a_case_is_told_once_what_is_true_of_all_its_contrasts(
        self, usual: descriptors.Typical, made: phantom.Phantom
    ) -> None:
        lying = {name: turned(of(made, name), (2, 1, 0)) for name in CONTRASTS}
        (told,) = case_flags(lying, usual)
        assert told.startswith("T1, T2: not shaped like")
        assert case_flags({name: of(made, name) for name in CONTRASTS}, usual) == []

    def test_exchanged_files_are_told_one_by_one(self, usual: descriptors.Typical, made: phantom.Phantom) -> None:
        told = " ".join(case_flags({"T1": of(made, "T2"), "T2": of(made, "T1")}, usual))
        assert "T1: is this really a T1?" in told
        assert "T2: is this really a T2?" in told


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.skipif("POLYCONTRAST_REAL_DATA" not in os.environ, reason="POLYCONTRAST_REAL_DATA is not set")
def test_real_patients_are_seldom_flagged_and_spoilt_ones_are(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """Ranges of the role gan, judged on the other two: the table of docs/explanation/flags.md (it is printed)."""
    from . import spoilt

    root = Path(os.environ["POLYCONTRAST_REAL_DATA"])
    cases = {case.id: case for case in find_cases(root / "cohort")}
    roles = json.loads((root / "split.json").read_text(encoding="utf-8"))
    if lacking := {name for names in roles.values() for name in names} - set(cases):
        pytest.skip(f"judges all patients of the split file, {len(lacking)} of which are not unpacked")
    contrasts = ("T1", "T1ce", "T2", "FLAIR")
    known = descriptors.typical(cache.cached([cases[name] for name in roles["gan"]], contrasts, tmp_path))
    table: dict[str, list[bool]] = {}
    for number, name in enumerate(roles["train"] + roles["test"]):
        given = {c: grid_of(formats.read(cases[name].contrasts[c])) for c in contrasts}
        for what, contrast, array, spacing in spoilt.ways(given, further=number < 3):
            image = Volume(array, Geometry.from_affine(array.shape, np.diag([*spacing, 1.0])))
            table.setdefault(what, []).append(bool(flags(image, contrast, known)))
    with capsys.disabled():
        print()
        print("\n".join(f"| {what} | {sum(told)} of {len(told)} |" for what, told in table.items()))
    share = {what: float(np.mean(told)) for what, told in table.items()}
    assert share.pop("as it is") <= 0.05
    assert share.pop("left and right exchanged") <= 0.2  # it looks like any other; that is a false alarm's chance
    assert all(value > 0.5 for value in share.values())
    assert [what for what in share if what.startswith("skull") and share[what] < 1] == []


def grid_of(image: Volume) -> np.ndarray:
    return grid.to_canonical(image.array, image.geometry.affine)
