"""Slabs and crops: every slice comes back to its own place, and no result depends on how it was shared out."""

import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from nibabel.orientations import apply_orientation
from scipy import ndimage
from torch import Tensor

from polycontrast.data import intensity
from polycontrast.data.configs import DataConfig
from polycontrast.errors import UserError
from polycontrast.infer import slices
from polycontrast.infer.options import Options, Synthetic
from polycontrast.infer.synthesizer import Synthesizer
from polycontrast.io.volume import Array, Geometry, Volume
from polycontrast.recipes import Recipe, TrainConfig
from polycontrast.systems.any2any import Any2anyConfig

from .. import models
from . import places
from .conftest import brain, volume

CPU = torch.device("cpu")
UNITS = {"T1": (0.5, 0.5), "FLAIR": (-0.25, 0.5)}
PIXEL = 2.0  # mm, of the stubs' recipes
SLABS = [(1, 1), (3, 1), (4, 2), (2, 2), (5, 3), (6, 4)]
RECIPE = Recipe(
    "any2any",
    Any2anyConfig(widths=(4, 6), blocks=(1, 1)),
    DataConfig(extent=192.0, size=64, units="volume", slab=4, made=2, cropped=True, centred=True),
    TrainConfig(bfloat16=()),
)
FINE = (PIXEL, PIXEL, 1.0)  # mm: slices thin enough to leave some out
LEVELS = {"50": 0.7, "80": 1.5, "95": 2.5}


class Middle:
    """Gives the middle slices of the first contrast; `above`: the ones that far above; `ramp`: brighter to the right;
    its scale is the same everywhere."""

    multiple, computes_alone, precision = 4, False, "float32"
    evaluating = nullcontext

    def __init__(self, data: DataConfig, above: int = 0, ramp: float = 0.0, scale: float = 0.2) -> None:
        self.data, self.above, self.ramp, self.scale = data, above, ramp, scale
        self.seen: list[tuple[int, ...]] = []
        self.threads: list[int] = []

    def synthesize(self, images: Tensor, have: Sequence[str], want: Sequence[str]) -> tuple[Tensor, Tensor]:
        assert images.shape[1:3] == (len(have), self.data.slab)
        self.seen.append(tuple(images.shape))
        self.threads.append(torch.get_num_threads())
        first = self.data.first + self.above
        image = (
            images[:, :1, first : first + self.data.made] + self.ramp * torch.linspace(-1, 3, images.shape[-2])[:, None]
        )
        image = image.expand(-1, len(want), -1, -1, -1)
        return image, torch.full_like(image, self.scale)


def data_of(slab: int = 4, made: int = 2, **changed: Any) -> DataConfig:
    """A frame of 64 x 64 pixels of 2 mm, around brains of less."""
    return replace(
        DataConfig(extent=64 * PIXEL, size=64, units="volume", slab=slab, made=made, cropped=True), **changed
    )


def estimated(
    system: Middle, raw: Array, spacing: tuple[float, float, float] = (PIXEL, PIXEL, 3.0), **options: bool
) -> Mapping[str, tuple[Array, Array | None]]:
    stub: Any = system
    return slices.estimate(stub, UNITS, [raw], raw != 0, spacing, ["T2"], list(UNITS), CPU, Options(**options))


def image_of(system: Middle, raw: Array, **how: Any) -> Array:
    return estimated(system, raw, **how)["T1"][0]


def normalised(raw: Array) -> Array:
    mask = raw != 0
    return intensity.fit(raw, mask).apply(raw, mask)


def smooth(shape: tuple[int, int, int]) -> Array:
    """An ellipsoid in which brightness changes slowly within slices and fast across them."""
    inside = brain(shape) != 0
    x, y, z = np.indices(shape)
    values = 300 + 60 * np.sin(x / 9) + 60 * np.cos(y / 8) + 40 * (z % 3)
    return np.where(inside, values, 0).astype(np.float32)


def inside(raw: Array, edge: int) -> np.ndarray:
    """The brain but for so many voxels of it along its border in each slice: resizing mixes background in there."""
    inner: np.ndarray = ndimage.binary_erosion(raw != 0, np.ones((3, 3, 1)), edge)
    assert inner.any()
    return inner


@pytest.mark.parametrize(("slab", "made"), SLABS)
@pytest.mark.parametrize("depth", [1, 2, 9, 12])
@pytest.mark.parametrize("cropped", [True, False])
def test_every_slice_comes_back_to_its_own_place(slab: int, made: int, depth: int, cropped: bool) -> None:
    raw = np.pad(brain((21, 26, depth)), [(3, 0), (0, 5), (2, 1)])
    found = image_of(Middle(data_of(slab, made, cropped=cropped)), raw)
    np.testing.assert_allclose(found, normalised(raw), atol=1e-6)


@pytest.mark.parametrize(("slab", "made"), [(s, m) for s, m in SLABS if s > m])
@pytest.mark.parametrize("depth", [5, 8])
@pytest.mark.parametrize("above", [-1, 1])
def test_a_slabs_neighbours_are_the_slices_next_to_it_and_background_beyond_the_brain(
    slab: int, made: int, depth: int, above: int
) -> None:
    raw = brain((21, 26, depth))
    raw[8:12, 8:12] = np.random.default_rng(0).uniform(50, 500, (4, 4, depth))  # the brain fills every slice there
    found = image_of(Middle(data_of(slab, made), above), raw)[8:12, 8:12]
    expected = np.roll(normalised(raw), -above, axis=2)[8:12, 8:12]
    expected[..., -1 if above > 0 else 0] = 0
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("batch", [1, 2, 3, 5, 100])
def test_results_do_not_depend_on_how_many_slices_go_at_a_time(batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    raw, usual = brain((21, 26, 9)), Middle(data_of())
    expected = image_of(usual, raw)
    monkeypatch.setattr(slices, "_BATCH", batch)
    small = Middle(data_of())
    np.testing.assert_array_equal(image_of(small, raw), expected)
    assert max(shape[0] for shape in small.seen) * 2 <= max(2, batch)
    assert sum(shape[0] for shape in small.seen) == 4  # pairs of the seven slices that hold brain


@pytest.mark.parametrize("bfloat16", [False, True])
def test_a_system_that_computes_alone_has_each_slab_in_a_thread_but_for_bfloat16(bfloat16: bool) -> None:
    raw, usual, system = brain((21, 26, 9)), Middle(data_of()), Middle(data_of())
    system.computes_alone, system.precision = True, "bfloat16" if bfloat16 else "float32"
    np.testing.assert_array_equal(image_of(system, raw), image_of(usual, raw))
    alone = {(shape[0], threads) for shape, threads in zip(system.seen, system.threads, strict=True)}
    assert (alone == {(1, 1)}) != bfloat16


def test_no_more_than_the_brain_is_computed_and_its_surroundings_do_not_matter() -> None:
    raw, wide = brain((21, 26, 9)), np.pad(brain((21, 26, 9)), [(30, 1), (0, 40), (2, 5)])
    system, other, whole = Middle(data_of()), Middle(data_of()), Middle(data_of(cropped=False))
    found = image_of(system, raw)
    np.testing.assert_array_equal(image_of(other, wide)[30:51, :26, 2:11], found)
    np.testing.assert_allclose(image_of(whole, raw), found, atol=1e-6)
    assert set(system.seen) == set(other.seen)
    assert {shape[-2:] for shape in system.seen} == {(28, 32)}  # 20 x 25 voxels, 8 mm around them, by fours
    assert {shape[-2:] for shape in whole.seen} == {(64, 64)}


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 3.0), (2.6, 2.6, 1.0), (1.4, 2.8, 5.0), (2.8, 1.4, 2.0)])
def test_whatever_the_spacing_content_comes_back_to_its_place(spacing: tuple[float, float, float]) -> None:
    raw = smooth((45, 52, 7))
    found, expected = image_of(Middle(data_of()), raw, spacing=spacing), normalised(raw)
    inner = inside(raw, 2 + round(2 * PIXEL / min(spacing[:2])))
    np.testing.assert_allclose(found[inner], expected[inner], atol=0.05)
    assert not found[raw == 0].any()


def test_a_centred_model_gives_the_brain_the_mean_that_every_real_one_has() -> None:
    raw = brain((21, 26, 9))
    plain, centred = (Middle(data_of(centred=on), ramp=0.4) for on in (False, True))
    off, on = image_of(plain, raw), image_of(centred, raw)
    mask = raw != 0
    assert abs(off[mask].mean() - intensity.MEAN) > 0.05
    assert on[mask].mean() == pytest.approx(intensity.MEAN, abs=1e-5)
    difference = (on - off)[mask]
    assert np.ptp(difference) < 1e-5
    assert not on[~mask].any()


def test_an_ensemble_is_the_mean_of_the_image_and_of_what_the_mirrored_one_gives() -> None:
    raw = brain((21, 26, 9))
    plain, both = Middle(data_of()), Middle(data_of())
    np.testing.assert_allclose(image_of(both, raw, ensemble=True), image_of(plain, raw), atol=1e-6)
    assert len(both.seen) == 2 * len(plain.seen)
    uneven = image_of(Middle(data_of(), ramp=0.4), raw, ensemble=True)
    np.testing.assert_allclose(uneven[raw != 0], (normalised(raw) + 0.4 * 0.5)[raw != 0], atol=1e-6)


@pytest.mark.parametrize(("apart", "fast"), [(0.0, True), (4.0, False), (4.0, True), (8.0, True)])
@pytest.mark.parametrize("depth", [14, 24, 31])
@pytest.mark.parametrize(("slab", "made"), SLABS)
def test_an_image_is_nearly_the_same_from_slabs_that_lie_apart(
    slab: int, made: int, depth: int, apart: float, fast: bool
) -> None:
    raw, usual, few = brain((30, 35, depth)), Middle(data_of(slab, made)), Middle(data_of(slab, made, apart=apart))
    expected, found = image_of(usual, raw, spacing=FINE), image_of(few, raw, spacing=FINE, fast=fast)
    deep = np.flatnonzero(raw.any(axis=(0, 1)))
    slabs = math.ceil((len(deep) - made) / max(apart, 6 if fast else 0, made))
    assert sum(shape[0] for shape in few.seen) == slabs + 1
    assert np.abs(found - expected)[raw != 0].mean() < 0.1 * intensity.SD
    for made_itself in (*deep[:made], *deep[-made:]):
        np.testing.assert_allclose(found[..., made_itself], expected[..., made_itself], atol=1e-4)
    assert not found[raw == 0].any()


@pytest.mark.parametrize("spacing", [(PIXEL, PIXEL, 3.0), (PIXEL, PIXEL, 9.0)])
def test_of_thick_slices_none_is_left_out(spacing: tuple[float, float, float]) -> None:
    raw, usual, apart = brain((21, 26, 9)), Middle(data_of()), Middle(data_of(apart=6.0))
    expected = image_of(usual, raw, spacing=spacing)
    np.testing.assert_array_equal(image_of(apart, raw, spacing=spacing), expected)
    assert apart.seen == usual.seen


def test_as_many_slices_are_left_out_as_lie_within_the_distance() -> None:
    """4 mm are three slices of 4 / 3 mm, whatever float division says."""
    system = Middle(data_of(apart=4.0))
    image_of(system, brain((30, 35, 24)), spacing=(PIXEL, PIXEL, float(np.float32(4 / 3)) + 1e-7))
    deep = np.flatnonzero(brain((30, 35, 24)).any(axis=(0, 1)))
    assert sum(shape[0] for shape in system.seen) == math.ceil((len(deep) - 2) / 3) + 1


@pytest.mark.parametrize("spacing", [(PIXEL, PIXEL, 3.0), FINE])
@pytest.mark.parametrize("options", [{}, {"ensemble": True}, {"fast": True}])
def test_scales_come_back_in_normalised_units(spacing: tuple[float, float, float], options: dict[str, bool]) -> None:
    """As long as the image's gain, whatever its sign; nothing outside the brain."""
    raw = brain((21, 26, 12))
    for name, (_, scale) in estimated(Middle(data_of(), scale=0.2), raw, spacing, **options).items():
        assert scale is not None
        np.testing.assert_allclose(scale[raw != 0], 0.2 * abs(UNITS[name][0]), rtol=1e-4)
        assert not scale[raw == 0].any()


@pytest.mark.parametrize(
    ("spacing", "words"),
    [((0.001, 0.001, 0.001), "too small for an image of a head"), ((1000.0, 1000.0, 1000.0), "a brain 24000 mm wide")],
)
def test_lengths_in_another_unit_are_refused_before_memory_is_asked_for(
    spacing: tuple[float, float, float], words: str
) -> None:
    with pytest.raises(UserError, match=words) as caught:
        image_of(Middle(data_of()), brain((21, 26, 9)), spacing=spacing)
    assert "mm" in caught.value.hint


OBLIQUE = places.affine(spacing=(6.0, 5.0, 8.0), angles=(0.1, -0.2, 0.15), offset=(-70.0, 12.5, 3.0))
GIVEN = {"T2": volume((21, 26, 9), OBLIQUE), "T1": volume((21, 26, 9), OBLIQUE, seed=1)}


@pytest.fixture(name="model", scope="module")
def _model(tmp_path_factory: pytest.TempPathFactory) -> Synthesizer:
    """Any subset in, calibrated for two ways."""
    told = {"t2_to_t1": LEVELS, "t1_t2_to_flair": {**LEVELS, "80": 2.0}}
    return Synthesizer.load(models.make_run(tmp_path_factory.mktemp("runs") / "any", RECIPE, confidence=told))


def test_a_confidence_map_comes_where_the_way_was_calibrated(model: Synthesizer) -> None:
    made = model({"T2": GIVEN["T2"]})
    assert list(made) == ["T1", "T1ce", "FLAIR"]
    assert [image.confidence is None for image in made.values()] == [False, True, True]
    made = model(GIVEN)
    assert list(made) == ["T1ce", "FLAIR"]
    assert [image.confidence is None for image in made.values()] == [True, False]


def test_a_confidence_map_lies_where_the_image_lies_and_is_the_intervals_half_width(model: Synthesizer) -> None:
    image = model(GIVEN, ["FLAIR"])["FLAIR"]
    assert isinstance(image, Synthetic)
    width = image.confidence
    assert isinstance(width, Volume)
    for one in (image, width):
        assert one.geometry.header.binaryblock == GIVEN["T2"].geometry.header.binaryblock
        assert one.array.shape == (21, 26, 9)
        assert one.array.dtype == np.float32
    mask = intensity.brain_mask([GIVEN["T1"].array, GIVEN["T2"].array])
    assert (width.array[mask] > 0).all()
    assert not width.array[~mask].any()
    assert image.description == "SYNTHETIC FLAIR by polycontrast"
    assert width.description == "80 % interval of SYNTHETIC FLAIR"
    twice = {"t1_t2_to_flair": {"80": 4.0}}
    other = Synthesizer(replace(model.config, confidence=twice), model.system, "other", "", CPU)
    wider = other(GIVEN, ["FLAIR"])["FLAIR"]
    assert wider.confidence is not None
    np.testing.assert_allclose(wider.confidence.array, 2 * width.array, rtol=1e-6)
    np.testing.assert_array_equal(wider.array, image.array)


def test_levels_are_of_what_is_given_in_the_models_order(model: Synthesizer) -> None:
    assert model.levels(("T2", "T1"), "FLAIR") == {**LEVELS, "80": 2.0}
    assert model.levels(("T2",), "T1") == LEVELS
    assert model.levels(("T1ce",), "FLAIR") == {}


def test_nothing_is_left_to_make_of_a_patient_who_has_all(model: Synthesizer) -> None:
    with pytest.raises(UserError, match="nothing is left to make"):
        model(dict.fromkeys(model.have, GIVEN["T2"]))


def test_a_contrast_that_is_given_and_wanted_is_made_of_the_others(model: Synthesizer) -> None:
    again = model(GIVEN, ["T1"])["T1"]
    np.testing.assert_array_equal(again.array, model({"T2": GIVEN["T2"]}, ["T1"])["T1"].array)


def test_order_and_orientation_of_what_is_given_do_not_matter(model: Synthesizer) -> None:
    made = model(GIVEN)
    turned_round = model(dict(reversed(GIVEN.items())))
    for ornt in (
        np.array(o) for o in ([[1, 1], [0, -1], [2, 1]], [[2, -1], [1, 1], [0, -1]], [[0, -1], [1, 1], [2, 1]])
    ):
        shape = GIVEN["T1"].shape
        affine = OBLIQUE @ nib.orientations.inv_ornt_aff(ornt, shape)
        arrays = {n: np.ascontiguousarray(apply_orientation(v.array, ornt)) for n, v in GIVEN.items()}
        again = model({n: Volume(a, Geometry.from_affine(a.shape, affine)) for n, a in arrays.items()})
        for name, image in made.items():
            np.testing.assert_array_equal(turned_round[name].array, image.array)
            np.testing.assert_array_equal(again[name].array, apply_orientation(image.array, ornt), err_msg=str(ornt))


def test_every_brain_that_is_made_has_the_mean_of_a_real_one(model: Synthesizer) -> None:
    for image in model(GIVEN).values():
        assert image.array[image.array != 0].mean() == pytest.approx(intensity.MEAN, abs=1e-4)


@pytest.mark.parametrize("batch", [1, 100])
def test_a_trained_systems_slices_are_the_same_alone_and_in_company(
    model: Synthesizer, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = model(GIVEN)
    monkeypatch.setattr(model.system, "computes_alone", False)
    with torch.backends.nnpack.flags(enabled=False):
        model.system.use_channels_last(("generator",))  # as batches go, where there is bfloat16
        usual = model(GIVEN)
        monkeypatch.setattr(slices, "_BATCH", batch)
        found = model(GIVEN)
    for name, image in found.items():
        np.testing.assert_allclose(image.array, usual[name].array, atol=2e-5)
        np.testing.assert_allclose(image.array, alone[name].array, atol=2e-4)


def test_a_run_that_was_not_calibrated_tells_no_confidence(tmp_path: Path) -> None:
    plain = Synthesizer.load(models.make_run(tmp_path / "any", RECIPE))
    assert all(image.confidence is None for image in plain(GIVEN).values())
