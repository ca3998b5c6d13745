"""Descriptors tell shape, shells and appearance, whatever the voxels and units; ranges hold who is like the others."""

from collections.abc import Sequence

import numpy as np
import pytest

from polycontrast.data import cache, descriptors, grid, phantom
from polycontrast.data.descriptors import describe, typical
from polycontrast.io.layout import find_cases

MM = (4.0, 4.0, 4.0)
SHAPE = (46, 56, 44)


def head(contrast: str = "T2", seed: int = 1, spacing: float = 4.0, shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    made = phantom.make(seed, shape, spacing, contrasts=(contrast,))
    return grid.to_canonical(made.contrasts[contrast], made.affine)


def told(array: np.ndarray, spacing: tuple[float, float, float] = MM) -> dict[str, float]:
    return describe(array, array != 0, spacing)


def block(low: Sequence[int], high: Sequence[int], shape: tuple[int, int, int] = (60, 60, 60)) -> np.ndarray:
    inside = np.zeros(shape, dtype=bool)
    inside[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = True
    return inside


def test_sizes_are_in_mm_and_ml_along_the_canonical_axes() -> None:
    mask = block((10, 10, 10), (40, 50, 30))
    found = describe(mask.astype(np.float32), mask, (1.0, 2.0, 3.0))
    assert (found["right_mm"], found["front_mm"], found["height_mm"]) == (30, 80, 60)
    assert found["volume_ml"] == pytest.approx(30 * 80 * 60 / 1000)
    assert found["thickness_mm"] == 3


def test_no_gain_or_offset_changes_them() -> None:
    array = head()
    other = np.where(array != 0, 3 * array + 700, 0)
    assert describe(other, array != 0, MM) == pytest.approx(told(array), abs=1e-3)


def test_other_voxels_hardly_change_them() -> None:
    fine, coarse = told(head(spacing=2.0, shape=(92, 112, 88)), (2.0, 2.0, 2.0)), told(head())
    for key in (*descriptors.SHAPE, "median", "white", "edge", "core"):
        assert fine[key] == pytest.approx(coarse[key], abs=2 * descriptors.LEAST[key]), key


def test_an_image_of_one_value_has_descriptors_too() -> None:
    mask = block((10, 10, 10), (40, 50, 30))
    assert describe(mask.astype(np.float32), mask, (1.0, 1.0, 1.0))["spread"] == 0


def test_a_speck_has_sizes_alone() -> None:
    found = told(np.ones((3, 3, 3), np.float32), (1.0, 1.0, 1.0))
    assert set(found) == {"thickness_mm", "right_mm", "front_mm", "height_mm", "volume_ml"}


def test_lean_and_taper_change_their_sign_as_the_brain_is_turned() -> None:
    array = head()
    upright, upside_down, backwards = told(array), told(array[:, :, ::-1]), told(array[:, ::-1])
    assert upright["lean"] * upside_down["lean"] < 0
    assert upright["taper"] * backwards["taper"] < 0
    assert told(array[::-1])["taper"] == pytest.approx(upright["taper"], abs=0.02)


def test_a_shell_with_an_opening_is_thin_and_a_closed_one_leaves_a_gap() -> None:
    inside = block((20, 20, 20), (80, 80, 80), (100, 100, 100))
    around = block((12, 12, 12), (88, 88, 88), (100, 100, 100)) & ~block((16, 16, 16), (84, 84, 84), (100, 100, 100))
    both = inside | around
    one = (1.0, 1.0, 1.0)
    assert describe(both.astype(np.float32), both, one)["thin"] > 0.08
    filled = block((12, 12, 12), (88, 88, 88), (100, 100, 100))
    assert describe(np.where(both, 1.0, 0.0).astype(np.float32), filled, one)["gap"] > 0.18
    alone = describe(inside.astype(np.float32), inside, one)
    assert alone["thin"] < 0.02  # a cube's corners
    assert alone["gap"] == 0


@pytest.mark.parametrize("contrast", ["T1", "T2"])
def test_the_negative_has_the_opposite_signs(contrast: str) -> None:
    array = head(contrast)
    mask = array != 0
    one, other = told(array), describe(-array, mask, MM)
    for key in ("edge", "detail", "detail_skew"):
        assert other[key] == pytest.approx(-one[key], abs=1e-3)
    assert other["median"] == pytest.approx(1 - one["median"], abs=1e-3)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> list[cache.Entry]:
    folder = phantom.write_cohort(tmp_path_factory.mktemp("p"), 6, shape=SHAPE, spacing=4.0, contrasts=("T1", "T2"))
    return cache.cached(find_cases(folder), ("T1", "T2"), tmp_path_factory.mktemp("cache"))


def test_the_ranges_hold_those_they_were_made_of_and_one_that_they_were_not(seen: list[cache.Entry]) -> None:
    usual = typical(seen)
    assert set(usual) == {"T1", "T2"}
    found = told(head("T2", seed=50))
    assert all(low < high for ranges in usual.values() for low, high in ranges.values())
    assert [key for key, (low, high) in usual["T2"].items() if not low <= found[key] <= high] == []


def test_fewer_cases_make_wider_ranges_and_too_few_none(seen: list[cache.Entry]) -> None:
    (low, high), (lowest, highest) = (typical(seen[:n])["T1"]["peak"] for n in (6, 5))
    assert highest - lowest > high - low
    assert typical(seen[:4]) == {}
    assert typical([]) == {}


def test_one_flawed_case_does_not_hide_the_others_of_its_kind() -> None:
    values = np.array([1.0, 1.1, 0.9, 1.05, 0.95, 1.02, 0.98, 1.0, 30.0])
    assert descriptors._range(values, 0.0)[1] < 3


def test_of_many_cases_some_are_read_spread_evenly(seen: list[cache.Entry], monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    images = cache.Entry.images
    monkeypatch.setattr(cache.Entry, "images", lambda entry, z: read.append(entry.id) or images(entry, z))
    monkeypatch.setattr(descriptors, "describe", lambda *_: {"median": 0.5})
    typical(seen * 30)
    assert 32 <= len(read) <= descriptors.MOST_CASES
