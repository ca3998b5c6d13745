"""The downstream segmentation: measures by hand, the four inputs, what is left out, and what is kept."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from polycontrast.errors import UserError
from polycontrast.io.layout import Case, find_cases
from polycontrast.metrics import downstream
from polycontrast.metrics.downstream import (
    Outcome,
    Segmenters,
    dice,
    hd95,
    judge_case,
    lacking,
    markdown,
    open_segmenters,
    read,
    slice_dice,
    summarise,
    write,
)
from polycontrast.metrics.reference import Real, load
from polycontrast.metrics.segmenter import SegmenterConfig, truth

from .. import tiny

Mask = NDArray[np.bool_]
NAMES = ("T1", "T1ce", "T2", "FLAIR")
INPUTS = ("real", "synthetic", "T2 only", "zero-filled")


class Drawn:
    """A segmenter that finds the same masks in everything, and remembers what it was shown."""

    def __init__(self, contrasts: Sequence[str], masks: Mapping[str, Mask]) -> None:
        self.config, self.masks = SimpleNamespace(contrasts=tuple(contrasts)), masks
        self.shown: list[Mapping[str, Any]] = []

    def __call__(self, images: Mapping[str, Any], brain: Mask, spacing: object) -> Mapping[str, Mask]:  # noqa: ARG002
        self.shown.append(images)
        return self.masks


def pair(masks: Mapping[str, Mask]) -> Any:
    return Segmenters(Drawn(NAMES, masks), Drawn(("T2",), masks))  # type: ignore[arg-type]


def known_truth(real: Real) -> dict[str, Mask]:
    return {region: mask for region, mask in truth(real).items() if mask is not None}


@pytest.fixture(name="real", scope="module")
def _real(cohort: Path) -> Real:
    return load(find_cases(cohort)[0])


@pytest.fixture(name="others", scope="module")
def _others(real: Real) -> dict[str, Any]:
    """Synthetic T1, T1ce and FLAIR."""
    return {name: 0.9 * real.images[name] for name in NAMES if name != "T2"}


def box(*spans: tuple[int, int]) -> Mask:
    mask = np.zeros((8, 8, 4), dtype=bool)
    mask[tuple(slice(*span) for span in spans)] = True
    return mask


def test_dice_by_hand() -> None:
    one, other = box((0, 4), (0, 4), (0, 1)), box((2, 6), (0, 4), (0, 1))
    assert dice(one, other) == 0.5
    assert dice(one, one) == 1.0
    assert dice(one, np.zeros_like(one)) == 0.0
    assert dice(np.zeros_like(one), one) is None


def test_slices_without_tumour_do_not_count() -> None:
    """Two slices with tumour: one found whole, one half of it. A third, where something is found, has no reference."""
    reference = box((0, 4), (0, 4), (0, 2))
    mask = box((0, 4), (0, 4), (0, 1)) | box((2, 6), (0, 4), (1, 2)) | box((0, 8), (0, 8), (3, 4))
    assert slice_dice(reference, mask) == 0.75
    assert dice(reference, mask) == 2 * 24 / (32 + 96)
    assert slice_dice(np.zeros_like(mask), mask) is None


def test_surface_distance_by_hand() -> None:
    one, other = np.zeros((2, 9, 9, 9), dtype=bool)
    one[2, 2, 2] = other[4, 5, 2] = True
    assert hd95(one, other, (1.0, 1.0, 1.0)) == pytest.approx(math.hypot(2, 3))
    assert hd95(one, other, (1.0, 2.0, 5.0)) == pytest.approx(math.hypot(2, 6))
    assert hd95(one, one, (1.0, 2.0, 5.0)) == 0.0


def test_one_outlier_in_forty_is_forgiven_and_one_in_ten_is_not() -> None:
    line = np.zeros((60, 3, 3), dtype=bool)
    line[:39, 1, 1] = True
    astray = line.copy()
    astray[55, 1, 1] = True
    assert hd95(line, astray, (1.0, 1.0, 1.0)) == 0.0
    short = np.zeros_like(line)
    short[:9, 1, 1] = True
    astray = short.copy()
    astray[58, 1, 1] = True
    assert hd95(short, astray, (1.0, 1.0, 1.0)) == pytest.approx(50 * 0.55)  # between the ninth, 0, and the tenth, 50


def test_surfaces_of_nothing_have_no_distance_or_the_grids_diagonal() -> None:
    something, nothing = box((0, 4), (0, 4), (0, 2)), box((0, 0), (0, 0), (0, 0))
    assert hd95(nothing, something, (1.0, 1.0, 1.0)) is None
    assert hd95(nothing, nothing, (1.0, 1.0, 1.0)) is None
    assert hd95(something, nothing, (1.0, 2.0, 3.0)) == pytest.approx(math.sqrt(8**2 + 16**2 + 12**2))


@pytest.mark.filterwarnings("ignore:monai:FutureWarning")  # MONAI 1.6 warns of its own call
@settings(max_examples=20)
@given(st.integers(0, 1000))
def test_surface_distance_is_monais(seed: int) -> None:
    hausdorff = pytest.importorskip("monai.metrics.hausdorff_distance")
    rng = np.random.default_rng(seed)
    spacing = tuple(rng.uniform(0.5, 3, 3))
    one, other = ndimage.gaussian_filter(rng.normal(size=(2, 14, 12, 10)), (0, 2, 2, 2)) > rng.uniform(0, 0.1)
    assume(one.any() and other.any())
    pair = (torch.from_numpy(m)[None, None] for m in (other, one))
    expected = hausdorff.compute_hausdorff_distance(*pair, include_background=True, percentile=95, spacing=spacing)
    assert hd95(one, other, spacing) == pytest.approx(float(expected), rel=1e-5)  # type: ignore[arg-type]


def test_the_truth_scores_one_from_every_input(real: Real, others: dict[str, Any]) -> None:
    masks = known_truth(real)
    outcomes = judge_case(real, others, pair(masks))
    assert [(o.input, o.region) for o in outcomes] == [(name, region) for name in INPUTS for region in masks]
    for one in outcomes:
        assert one.values["dice"] == 1
        assert one.values["hd95"] == 0
        assert one.values["slice_dice"] == (1 if one.region == "whole" else None)
        assert one.values["false_positive"] is None
        volume = masks[one.region].sum() * tiny.SPACING**3 / 1000
        assert one.values["volume"] == one.values["true_volume"] == pytest.approx(volume)


def test_each_input_is_what_its_name_says(real: Real, others: dict[str, Any]) -> None:
    segmenters = pair(known_truth(real))
    judge_case(real, others, segmenters)
    all_real, mixed, zero = segmenters.full.shown
    (alone,) = segmenters.alone.shown
    assert all(all_real[name] is real.images[name] for name in NAMES)
    assert mixed["T2"] is real.images["T2"]
    assert all(mixed[name] is others[name] for name in others)
    for images in (zero, alone):
        assert list(images) == ["T2"]
        assert images["T2"] is real.images["T2"]


def test_an_input_that_lacks_an_image_is_left_out(real: Real, others: dict[str, Any]) -> None:
    few = {name: image for name, image in others.items() if name != "T1"}
    outcomes = judge_case(real, few, pair(known_truth(real)))
    assert list(dict.fromkeys(o.input for o in outcomes)) == ["real", "T2 only", "zero-filled"]


def test_what_the_synthetic_input_lacks_is_told(real: Real, others: dict[str, Any]) -> None:
    segmenters = pair(known_truth(real))
    assert lacking(real, others, segmenters) == []
    assert lacking(real, {"T1": others["T1"]}, segmenters) == ["synthetic T1ce", "synthetic FLAIR"]
    blind = replace(real, images={name: image for name, image in real.images.items() if name != "T2"})
    assert lacking(blind, others, segmenters) == ["real T2"]
    assert lacking(replace(real, told=()), {}, segmenters) == []  # nothing can be judged, so nothing is missing


def test_known_inputs_are_not_segmented_again_but_the_synthetic_one_is(real: Real, others: dict[str, Any]) -> None:
    first = judge_case(real, others, pair(known_truth(real)))
    again = pair({region: np.zeros_like(mask) for region, mask in known_truth(real).items()})
    outcomes = judge_case(real, others, again, known=first)
    assert (len(again.full.shown), len(again.alone.shown)) == (1, 0)
    assert {o.input: o.values["dice"] for o in outcomes} == dict.fromkeys(INPUTS, 1.0) | {"synthetic": 0.0}


def test_where_the_reference_is_empty_only_the_false_positive_is_told(tmp_path: Path) -> None:
    labels = tiny.images(0)[1]
    tiny.draw_case(tmp_path, "P0", seg=np.where(labels == 4, 1, labels))  # nothing enhances
    real = load(find_cases(tmp_path)[0])
    masks = known_truth(real)
    found = judge_case(real, {}, pair(masks | {"enhancing": masks["core"]}))
    enhancing = next(o.values for o in found if o.region == "enhancing")
    assert enhancing["dice"] is enhancing["hd95"] is None
    assert enhancing["true_volume"] == 0
    assert enhancing["false_positive"] == pytest.approx(masks["core"].sum() * tiny.SPACING**3 / 1000)
    nothing = {region: np.zeros_like(mask) for region, mask in masks.items()}
    quiet = next(o.values for o in judge_case(real, {}, pair(nothing)) if o.region == "enhancing")
    assert quiet["false_positive"] == 0


def test_a_region_that_nobody_told_is_not_judged(tmp_path: Path) -> None:
    labels = tiny.images(0)[1]
    tiny.draw_case(tmp_path, "P0", seg=np.where(labels == 4, 2, labels))
    tiny.draw_case(tmp_path, "P1", seg=None)
    (tmp_path / "labels.json").write_text('{"P0": "oedema-core"}')
    told, untold = map(load, find_cases(tmp_path))
    masks = known_truth(told)
    assert list(masks) == ["whole", "core"]
    outcomes = judge_case(told, {}, pair(masks | {"enhancing": masks["core"]}))
    values = {o.region: o.values for o in outcomes if o.input == "real"}
    assert values["core"]["dice"] == 1
    assert {name for name, value in values["enhancing"].items() if value is not None} == {"volume"}
    assert judge_case(untold, {}, pair(masks)) == []


def outcome(case: str, name: str, value: float | None, region: str = "whole") -> Outcome:
    return Outcome(case, name, region, {**dict.fromkeys(downstream.UNITS), "dice": value})


def test_statistics_are_over_patients_and_differences_paired() -> None:
    outcomes = [
        outcome("P0", "real", 0.9), outcome("P0", "synthetic", 0.8),
        outcome("P1", "real", None), outcome("P1", "synthetic", 0.1),
        outcome("P2", "real", 0.7), outcome("P2", "synthetic", 0.4),
        outcome("P3", "real", 0.5),
    ]  # fmt: skip
    summary = summarise(outcomes)
    whole = summary["results"]["real"]["whole"]["dice"]
    assert (whole["n"], whole["mean"]) == (3, pytest.approx(0.7))
    against = summary["differences"]["real"]["whole"]["dice"]
    assert (against["n"], against["mean"]) == (2, pytest.approx(-0.2))
    assert list(summary["differences"]) == ["real"]
    tested = summary["significance"]["whole"]["dice"]["real"]
    assert (tested["difference"]["n"], tested["effect"]) == (2, -1.0)  # both times the real input is better
    assert tested["difference"]["mean"] == against["mean"]
    assert summary["results"]["real"]["core"]["dice"]["n"] == 0
    assert json.loads(json.dumps(summary, allow_nan=False)) == json.loads(json.dumps(summary))


def test_a_false_positive_of_another_patient_says_that_it_is_one() -> None:
    ill = [outcome(case, "real", 0.5) for case in ("P0", "P1")]
    healthy = outcome("P2", "real", None)
    healthy = replace(healthy, values=healthy.values | {"false_positive": 9.0})
    (line,) = [line for line in markdown(summarise([*ill, healthy])).splitlines() if line.startswith("| whole | real")]
    assert "| 2 |" in line
    assert "9.000 (n 1)" in line


def test_visits_of_one_patient_are_one() -> None:
    outcomes = [outcome(f"BraTS-GLI-00001-00{visit}", "real", dice) for visit, dice in ((0, 0.2), (1, 0.8))]
    whole = summarise(outcomes)["results"]["real"]["whole"]["dice"]
    assert (whole["n"], whole["mean"]) == (1, pytest.approx(0.5))


def test_without_a_synthetic_input_there_is_nothing_to_compare() -> None:
    summary = summarise([outcome("P0", "real", 0.9)])
    assert summary["differences"] == summary["significance"] == {}
    assert "0.900" in markdown(summary)
    assert summarise([])["results"] == {}


def test_the_table_is_read_as_it_was_written(real: Real, others: dict[str, Any], tmp_path: Path) -> None:
    outcomes = judge_case(real, others, pair(known_truth(real)))
    write(tmp_path, outcomes)
    for before, after in zip(outcomes, read(tmp_path), strict=True):
        assert (before.case, before.input, before.region) == (after.case, after.input, after.region)
        for name, value in before.values.items():
            assert after.values[name] == (None if value is None else pytest.approx(value, rel=1e-5))
    (tmp_path / "downstream.csv").write_text("case,input\nP0,real\n")
    with pytest.raises(UserError, match="not the table"):
        read(tmp_path)


def test_the_table_for_people_names_every_input_and_says_no_value() -> None:
    outcomes = [outcome(f"P{i}", name, 0.5 + 0.1 * i) for i in range(3) for name in INPUTS]
    text = markdown(summarise(outcomes))
    assert "| whole | synthetic | 3 | 0.600 ± 0.100 | no value |" in text
    assert "| whole | synthetic minus T2 only | 3 | 0.000 [0.000, 0.000] |" in text
    assert "| core | real | 0 | no value |" in text


def test_segmenters_are_found_again_whichever_was_given_first(
    cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, tuple[str, ...]]] = []

    def fake(folder: Path, cases: Sequence[Case], config: SegmenterConfig, notify: Any) -> Drawn:  # noqa: ARG001
        asked.append((folder.relative_to(tmp_path).as_posix(), config.contrasts))
        return Drawn(config.contrasts, {})

    monkeypatch.setattr(downstream, "opened", fake)
    cases = find_cases(cohort)
    opened = open_segmenters(tmp_path, cases, ["T2"], ["FLAIR", "T1ce", "T1"])
    assert asked == [("t1_t1ce_t2_flair", NAMES), ("t2", ("T2",))]
    assert opened.inputs == INPUTS
    assert open_segmenters(tmp_path, cases, ["T2", "T1"], ["T1ce", "FLAIR"]).inputs[2] == "T1 + T2 only"
    assert asked[2:] == [("t1_t1ce_t2_flair", NAMES), ("t1_t2", ("T1", "T2"))]
