"""Systems against one of them: what is paired, what is one family, and what people read of it."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from polycontrast.io.files import write_json
from polycontrast.metrics.measures import METRICS
from polycontrast.metrics.tables import Row
from polycontrast.workflows.significance import compared, markdown

Psnr = Callable[[int], float | None]


def rows(psnr: Psnr, *, n: int = 10, contrast: str = "T1", system: str = "synthetic") -> list[Row]:
    """A row per case in the brain, where only PSNR has values, and one in the tumour, where nothing has."""
    nothing = dict.fromkeys(METRICS)
    return [
        row
        for i in range(n)
        for row in (
            Row(f"P{i}", contrast, system, "polycontrast", "brain", nothing | {"psnr": psnr(i)}),
            Row(f"P{i}", contrast, system, "polycontrast", "tumour", nothing),
            Row(f"P{i}", contrast, system, "brasyn", "brain", nothing | {"psnr": 99.0}),
        )
    ]


SYSTEMS = {
    "old": rows(lambda i: 20.0 + i),
    "new": rows(lambda i: 21.0 + i + i / 10)[::-1],  # in another order
    "worse": rows(lambda i: 19.0 + i - i / 10, n=9),  # one case failed
}


def test_each_system_is_paired_with_the_reference_by_case() -> None:
    found = compared(SYSTEMS, "old")
    assert found["against"] == "old"
    assert list(found["tests"]["T1"]) == ["brain"]  # nothing is known of the tumour
    assert list(found["tests"]["T1"]["brain"]) == ["psnr"]
    tested = found["tests"]["T1"]["brain"]["psnr"]
    assert list(tested) == ["new", "worse"]
    assert tested["new"]["difference"]["mean"] == pytest.approx(1.45)
    assert (tested["new"]["difference"]["n"], tested["worse"]["difference"]["n"]) == (10, 9)
    assert tested["new"]["p_holm"] == pytest.approx(4 / 1024)
    assert tested["worse"]["p_holm"] == pytest.approx(max(4 / 1024, 2 / 512))
    assert (tested["new"]["effect"], tested["worse"]["effect"]) == (1.0, -1.0)


def test_visits_of_a_patient_count_once() -> None:
    def visit(row: Row) -> Row:
        number = int(row.case.removeprefix("P"))
        return replace(row, case=f"BraTS-GLI-{number // 2:05d}-{number % 2:03d}")

    visits = {name: [visit(row) for row in SYSTEMS[name]] for name in ("old", "new")}
    tested = compared(visits, "old")["tests"]["T1"]["brain"]["psnr"]["new"]
    assert (tested["difference"]["n"], tested["p"]) == (5, pytest.approx(2 / 32))
    assert tested["difference"]["mean"] == pytest.approx(1.45)


def test_another_contrast_is_another_family() -> None:
    both = {name: own + rows(lambda i: float(i), contrast="T1ce") for name, own in SYSTEMS.items()}
    found = compared(both, "old")
    assert found["tests"]["T1"] == compared(SYSTEMS, "old")["tests"]["T1"]
    assert found["tests"]["T1ce"]["brain"]["psnr"]["new"]["p_holm"] == 1.0


def test_controls_and_other_protocols_are_not_tested() -> None:
    found = compared({"old": SYSTEMS["old"], "new": SYSTEMS["new"] + rows(lambda _: 0.0, system="copy")}, "old")
    assert found["tests"]["T1"]["brain"]["psnr"]["new"]["difference"]["mean"] == pytest.approx(1.45)


def test_an_exact_image_is_left_out_and_the_result_can_be_written(tmp_path: Path) -> None:
    exact = {"old": SYSTEMS["old"], "new": rows(lambda i: math.inf if i == 3 else 21.0 + i)}
    found = compared(exact, "old")
    assert found["tests"]["T1"]["brain"]["psnr"]["new"]["difference"]["n"] == 9
    write_json(tmp_path / "found.json", found)


def test_nothing_to_test_is_no_section() -> None:
    found = compared({"old": SYSTEMS["old"]}, "old")
    assert found == {"against": "old", "failed": False, "tests": {}}
    assert markdown(found, ["T1"]) == ""


def test_a_reference_that_failed_is_told_in_the_section() -> None:
    found = compared(SYSTEMS, "lost")
    assert found == {"against": "lost", "failed": True, "tests": {}}
    assert markdown(found, ["T1"]) == "## Significance\n\nNo tests: the reference lost failed.\n\n"


def test_the_section_says_how_small_a_p_can_be() -> None:
    text = markdown(compared(SYSTEMS, "old"), ["T1ce", "T1"])
    assert "Each system minus old, patient by patient" in text
    assert (
        "With 10 patients the smallest possible p is 0.00195, and 0.00391 after the correction for 2 systems." in text
    )
    assert "### T1, brain\n\n| minus old | n | PSNR dB ↑ |\n" in text
    assert "| new | 10 | +1.45 [" in text
    assert ", p 0.0039, r +1.00 |" in text
    assert "tumour" not in text.split("###", 1)[1]
    few = markdown(compared({name: own[:12] for name, own in SYSTEMS.items() if name != "new"}, "old"), ["T1"])
    assert "With 4 patients no p is told: that takes 5." in few
    assert ", p –, r -1.00 |" in few
