"""Windows cover a volume without a gap, see enough, and what they make lies where it belongs."""

import tracemalloc
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import ndimage
from torch import Tensor

from polycontrast.data import intensity
from polycontrast.data.configs import PatchConfig
from polycontrast.errors import UserError
from polycontrast.infer import tiling
from polycontrast.infer.synthesizer import Synthesizer
from polycontrast.infer.tiling import estimate, memory, tiled
from polycontrast.io.volume import Geometry, Volume
from polycontrast.recipes import Recipe, TrainConfig
from polycontrast.systems.dai3d import Dai3dConfig

from .. import models
from .conftest import brain, volume

CPU = torch.device("cpu")
UNITS = {"T1": (0.5, 0.5), "FLAIR": (1.0, 0.25)}


class Echo:
    """Gives the first of what it is given for whatever is wanted."""

    def __init__(self, data: PatchConfig) -> None:
        self.data = data

    def synthesize(self, images: Tensor, have: Sequence[str], want: Sequence[str]) -> tuple[Tensor, None]:
        assert images.shape[1:] == (len(have), *[self.data.size] * 3)
        return images[:, :1].expand(-1, len(want), -1, -1, -1), None


def echoed(raw: np.ndarray, voxel: tuple[float, float, float], **data: Any) -> dict[str, np.ndarray]:
    """What comes of one volume when nothing is done to its windows; its brain is where it is not zero."""
    system: Any = Echo(PatchConfig(**{"size": 8, "margin": 2, "spacing": 2.0} | data))
    made = estimate(system, UNITS, [raw], raw != 0, voxel, ["T2"], list(UNITS), CPU)
    assert all(scale is None for _, scale in made.values())
    return {name: image for name, (image, _) in made.items()}


@st.composite
def layouts(draw: st.DrawFn) -> tuple[tuple[int, int, int], PatchConfig]:
    """A shape, often smaller than a window or thin, and windows of any size and margin."""
    size = draw(st.integers(1, 9))
    margin = draw(st.integers(0, (size - 1) // 2))
    shape = tuple(draw(st.integers(1, 14)) for _ in range(3))
    kept = size - 2 * margin
    assume(np.prod([n / kept + 1 for n in shape]) < 1000)
    return shape, PatchConfig(size=size, margin=margin)  # type: ignore[return-value]


@given(layout=layouts())
def test_windows_of_which_nothing_is_changed_give_the_volume_back(layout: tuple[Any, PatchConfig]) -> None:
    shape, data = layout
    array = np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32)
    np.testing.assert_array_equal(tiled(lambda x: x, array, 2, data), array)


@given(layout=layouts())
def test_what_is_kept_lies_side_by_side_and_comes_from_the_middle(layout: tuple[Any, PatchConfig]) -> None:
    """Every voxel tells where in its window it was made: counting through the middle, then starting anew."""
    shape, data = layout
    places = np.stack(np.meshgrid(*[np.arange(data.size)] * 3, indexing="ij")).astype(np.float32)
    made = tiled(lambda x: np.broadcast_to(places, (len(x), *places.shape)), np.zeros((1, *shape), np.float32), 3, data)
    kept = data.size - 2 * data.margin
    for axis in range(3):
        line = np.moveaxis(made[axis], axis, 0)
        assert (line == line[:, :1, :1]).all()
        at = line[:, 0, 0] - data.margin
        np.testing.assert_array_equal(at, (at[0] + np.arange(len(at))) % kept)


@given(layout=layouts())
def test_a_network_that_sees_no_farther_than_the_margin_knows_of_no_windows(layout: tuple[Any, PatchConfig]) -> None:
    """Its estimates are those of the whole volume in its background."""
    shape, data = layout
    reach = [0, *[2 * data.margin + 1] * 3]
    array = np.random.default_rng(0).normal(size=(1, *shape)).astype(np.float32)

    def blur(x: np.ndarray) -> np.ndarray:
        return ndimage.uniform_filter(x, [1, *[max(1, r) for r in reach]], mode="constant", cval=-1)

    expected = ndimage.uniform_filter(array, [1, *reach[1:]], mode="constant", cval=-1)
    np.testing.assert_allclose(tiled(blur, array, 1, data), expected, atol=1e-5)


def test_the_volume_lies_in_the_middle_of_its_windows() -> None:
    seen: list[np.ndarray] = []

    def note(x: np.ndarray) -> np.ndarray:
        seen.extend(x.copy())
        return x

    tiled(note, np.ones((1, 4, 3, 1), np.float32), 1, PatchConfig(size=8, margin=1))
    assert len(seen) == 1
    inside = np.argwhere(seen[0][0] == 1)
    assert (inside.min(0).tolist(), inside.max(0).tolist()) == ([2, 2, 3], [5, 4, 3])
    assert set(np.unique(seen[0])) == {-1, 1}


@settings(max_examples=40)
@given(shape=st.tuples(*[st.integers(2, 15)] * 3), margin=st.integers(0, 3), seed=st.integers(0, 9))
def test_at_the_models_own_spacing_values_come_back_as_they_were(
    shape: tuple[int, int, int], margin: int, seed: int
) -> None:
    """In normalised units through each contrast's own map, 0 outside the mask."""
    raw = brain(shape, seed)
    assume((raw != 0).sum() > 1)
    mask = raw != 0
    normalised = intensity.fit(raw, mask).apply(raw, mask)
    made = echoed(raw, (2.0, 2.0, 2.0), margin=margin)
    np.testing.assert_allclose(made["T1"], normalised, atol=1e-6)
    np.testing.assert_allclose(made["FLAIR"], np.where(mask, (2 * normalised - 1) + 0.25, 0), atol=1e-6)
    assert all(array.dtype == np.float32 for array in made.values())
    assert not any(array[~mask].any() for array in made.values())


@pytest.mark.parametrize("model", [0.7, 1.0, 1.9, 2.0, 3.1, 4.0])
@pytest.mark.parametrize("shape", [(21, 26, 35), (24, 32, 48)])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_whatever_the_spacing_content_comes_back_to_its_place(
    axis: int, shape: tuple[int, int, int], model: float
) -> None:
    """A ramp is the same ramp again, but at the ends, where it is mixed with background: nothing moves by as much as a
    fifth of a voxel."""
    voxel = (2.0, 1.5, 1.0)
    line = np.arange(1, shape[axis] + 1, dtype=np.float32)
    raw = np.array(np.broadcast_to(line.reshape([-1 if a == axis else 1 for a in range(3)]), shape))
    fit = intensity.fit(raw, raw > 0)
    back = (echoed(raw, voxel, spacing=model)["T1"] - intensity.MEAN) / intensity.SD * fit.sd + fit.mean
    inner = tuple(slice(edge, -edge) for edge in (int(1.5 * model / v) + 2 for v in voxel))
    assert back[inner].size
    np.testing.assert_allclose(back[inner], raw[inner], atol=0.2)


@pytest.mark.parametrize("shape", [(20, 24, 1), (1, 7, 30), (2, 2, 2), (40, 3, 11)])
@pytest.mark.parametrize("voxel", [(1.0, 1.0, 6.0), (5.0, 5.0, 5.0), (0.5, 3.0, 1.0)])
def test_thin_and_small_volumes_are_made_whole(shape: tuple[int, int, int], voxel: tuple[float, float, float]) -> None:
    raw = 100 + np.indices(shape).sum(axis=0).astype(np.float32)
    made = echoed(raw, voxel)["T1"]
    assert made.shape == shape
    assert np.isfinite(made).all()
    assert np.corrcoef(made.ravel(), raw.ravel())[0, 1] > 0.5


def test_what_lies_outside_the_brain_does_not_matter() -> None:
    raw = brain((12, 14, 9))
    wide = np.pad(raw, [(5, 0), (1, 30), (2, 2)])
    for spacing in ((2.0, 2.0, 2.0), (1.0, 1.3, 2.5)):
        plain, padded = (echoed(a, spacing)["T1"] for a in (raw, wide))
        np.testing.assert_array_equal(padded[5:, 1:15, 2:-2], plain)
        assert np.count_nonzero(padded) == np.count_nonzero(plain)


def test_memory_is_about_what_is_taken() -> None:
    raw = brain((60, 70, 50))
    spacing, data = (2.0, 2.0, 2.0), {"size": 32, "margin": 6, "spacing": 1.5}
    echoed(raw, spacing, **data)
    tracemalloc.start()
    echoed(raw, spacing, **data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    told = memory(raw.shape, spacing, PatchConfig(**data), 3)
    assert 0.5 < peak / told < 2.5


def test_a_header_in_another_unit_is_refused_before_memory_runs_out() -> None:
    raw = brain((21, 26, 9))
    with pytest.raises(UserError, match="19000 x 24000 x 7000 mm would take"):
        echoed(raw, (1000.0, 1000.0, 1000.0), spacing=1.0)


RECIPE = Recipe(
    "tiny3d", Dai3dConfig(levels=2, base=4, critic_levels=2, critic_base=4),
    PatchConfig(spacing=5.0, size=16, margin=4), TrainConfig(batch=2, images=8, bfloat16=()),
)  # fmt: skip
AFFINE = np.diag([-6.0, 5.0, 8.0, 1.0])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Synthesizer:
    return Synthesizer.load(models.make_run(tmp_path_factory.mktemp("runs") / "tiny3d", RECIPE))


def test_a_model_of_patches_makes_volumes(model: Synthesizer) -> None:
    """From any of its sources the others, on the source's grid, 0 outside the brain."""
    given = volume((21, 26, 9), AFFINE)
    for source, wanted in (("T2", ("FLAIR", "T1ce", "T1")), ("T1", ("T2", "FLAIR", "T1ce"))):
        made = model({source: given})
        assert tuple(made) == wanted
        for result in made.values():
            assert result.array.shape == given.array.shape
            assert np.isfinite(result.array).all()
            assert not result.array[given.array == 0].any()
            assert result.array[given.array != 0].std() > 0
    assert not np.array_equal(made["T2"].array, made["FLAIR"].array)


def test_content_follows_the_orientation(model: Synthesizer) -> None:
    given = volume((21, 26, 9), AFFINE)
    turned = Volume(
        np.ascontiguousarray(given.array[::-1].transpose(2, 0, 1)),
        Geometry.from_affine((9, 21, 26), AFFINE @ _flipped(21)[:, [2, 0, 1, 3]]),
    )
    made, again = (model({"T2": v}, ["T1"])["T1"].array for v in (given, turned))
    np.testing.assert_array_equal(again, made[::-1].transpose(2, 0, 1))


@pytest.mark.parametrize("batch", [1, 3, 100])
def test_results_do_not_depend_on_how_many_windows_go_at_a_time(
    model: Synthesizer, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"T2": volume((21, 26, 9), AFFINE)}
    usual = model(given)
    monkeypatch.setattr(tiling, "_BATCH", batch)
    for name, result in model(given).items():
        np.testing.assert_allclose(result.array, usual[name].array, atol=1e-5)


def _flipped(n: int) -> np.ndarray:
    """Voxels of an array reversed along its first axis -> its own."""
    matrix = np.diag([-1.0, 1, 1, 1])
    matrix[0, 3] = n - 1
    return matrix


def test_another_margin_is_another_estimate_of_a_network_that_looks_farther(model: Synthesizer, tmp_path: Path) -> None:
    """Else the tests above could pass with a network that sees single voxels."""
    narrow = replace(RECIPE, data=replace(RECIPE.data, margin=1))
    other = Synthesizer.load(models.make_run(tmp_path / "narrow", narrow))
    given = {"T2": volume((21, 26, 9), AFFINE)}
    assert not np.allclose(model(given)["T1"].array, other(given)["T1"].array, atol=1e-3)
