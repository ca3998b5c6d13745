"""The table of the downstream segmentation: systems between what is real and what is missing."""

from typing import Any

from polycontrast.workflows import segmented


def stats(mean: float | None, n: int = 5) -> dict[str, Any]:
    ends = None if mean is None else [mean - 0.1, mean + 0.1]
    return {"n": 0 if mean is None else n, "mean": mean, "sd": 0.1, "median": mean, "interval": ends}


def regions(dice: float, n: int = 5) -> dict[str, Any]:
    whole = {"dice": stats(dice, n), "hd95": stats(10 * dice, n), "slice_dice": stats(dice / 2, n)}
    core = {"dice": stats(dice / 3, n), "hd95": stats(None), "slice_dice": stats(None)}
    return {"whole": whole, "core": core}


def summary(dice: float, n: int = 5) -> dict[str, Any]:
    inputs = {"real": 0.9, "synthetic": dice, "T2 only": 0.5, "zero-filled": 0.1}
    return {"downstream": {"results": {name: regions(value, n) for name, value in inputs.items()}}}


def test_each_system_is_a_row_and_what_needs_none_is_there_once() -> None:
    rows = segmented.among({"good": summary(0.8), "bad": summary(0.3)})
    assert list(rows) == ["good", "bad", "T2 only", "real images", "zero-filled"]
    assert rows["bad"]["whole"]["dice"]["mean"] == 0.3


def test_the_shared_rows_come_from_the_evaluation_of_most_cases() -> None:
    rows = segmented.among({"short": summary(0.8, n=2), "long": summary(0.3, n=5)})
    assert rows["real images"]["whole"]["dice"]["n"] == 5


def test_a_measure_that_no_row_has_in_a_region_is_no_column() -> None:
    page = segmented.markdown(segmented.among({"good": summary(0.8)}))
    whole, core = page.split("### core")
    assert "| good | 5 | 0.800 [0.700, 0.900] | 8.0 [7.9, 8.1] | 0.400 [0.300, 0.500] |" in whole
    assert "slice dice ↑" in whole
    assert "hd95" not in core
    assert "slice dice" not in core


def test_without_a_segmentation_there_is_no_section() -> None:
    assert segmented.markdown(segmented.among({"one": {"results": {}}})) == ""
