"""The report of an evaluation: what it says, in which order, and that it holds all it shows."""

import html
import re
from dataclasses import replace

import pytest

from polycontrast.metrics import report, report_tables, statistics
from polycontrast.metrics.tables import Failure

from . import drawn_report

CASES = [f"Case_{i}" for i in range(6)]


@pytest.fixture(name="page", scope="module")
def _page(tmp_path_factory):
    """A report of all that there can be, and its folder."""
    out = tmp_path_factory.mktemp("report")
    drawn = drawn_report.draw(CASES, ("T1", "T1ce"), ("polycontrast", "brasyn", "dai2020"))
    drawn.failures = [Failure("Lost_1", "T1", "no prediction"), Failure("Case_2", "segmentation", "unknown value 7")]
    drawn.facts = {"cohort": "BraTS", "system": "tcmgan"}
    drawn_report.draw_mosaics(out, drawn)
    return out, drawn.write(out, "polycontrast eval -i 'my folder' --want t1,t1ce")


@pytest.fixture(name="undrawn")
def _undrawn(monkeypatch):
    """No charts, and few resamples: they take a second each."""
    monkeypatch.setattr(statistics, "RESAMPLES", 50)
    monkeypatch.setattr(report, "_violins", lambda *_: {"violins": {}})
    nothing = {"bland_altman": {}, "spectrum": {}, "joint_histogram": {}}
    monkeypatch.setattr(report.looks, "draw", lambda *_: nothing)


def section(page: str, name: str) -> str:
    """The text of a section without its tags."""
    found = re.search(rf'<section id="{name}">(.*?)</section>', page, re.S)
    assert found, f"no section {name}"
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", found[1])).split())


def test_every_section_is_there_and_in_the_contents(page):
    _, text = page
    named = re.findall(r'<(?:section|header) id="(\w+)"', text)
    assert named == [
        "top", "summary", "protocols", "significance", "patients", "cases", "images", "downstream", "intensities",
        "sharpness", "joint", "made",
    ]  # fmt: skip
    assert re.findall(r'<li><a href="#(\w+)"', text) == named


def test_it_says_what_was_given_that_it_is_for_research_and_what_cannot_be_known(page):
    _, text = page
    head = " ".join(re.sub(r"<[^>]+>", " ", text.partition("</header>")[0]).split())
    assert "T2 → T1, T1ce" in head
    assert "6 cases of BraTS, role: test; system: tcmgan" in head
    assert "For research only, not a medical device." in head
    assert "Contrast enhancement cannot be known without a contrast agent" in head
    assert "copy T2 itself, as if it were the wanted contrast" in head


@pytest.mark.usefixtures("undrawn")
def test_where_each_case_lacks_another_contrast_it_says_no_more_than_is_true(tmp_path):
    drawn = drawn_report.draw(CASES, ("T1", "T1ce"))
    drawn.facts = {"have": ("T1", "T1ce", "T2", "FLAIR"), "dropped": True}
    head = " ".join(re.sub(r"<[^>]+>", " ", drawn.write(tmp_path).partition("</header>")[0]).split())
    assert "All other contrasts → T1, T1ce" in head
    assert "Given All other contrasts: of each case T1, T1ce, T2, FLAIR but for the one that is judged" in head
    assert "copy the first contrast that the case still has, as if" in head
    assert "cannot be known without a contrast agent" in head
    assert "from T1, T1ce" not in head


@pytest.mark.usefixtures("undrawn")
def test_enhancement_is_not_spoken_of_where_none_was_made(tmp_path):
    assert "enhancement" not in drawn_report.draw(CASES, ("FLAIR",)).write(tmp_path)


def test_every_protocols_assumptions_are_printed(page):
    out, text = page
    drawn = drawn_report.draw(CASES, protocols=("polycontrast", "brasyn", "dai2020"))
    assert out
    plain = html.unescape(text)
    for told in drawn.summary["protocols"].values():
        assert all(sentence in plain for sentence in told.values())


def test_nothing_is_fetched_and_nothing_runs(page):
    _, text = page
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in html.unescape(text)
    assert "<script" not in text
    assert not re.findall(r'\b(?:src|href)=(?!"#|"data:image/)', text)
    assert "url(" not in text
    assert not re.findall(r"\son\w+=", text)


def test_every_chart_and_mosaic_is_a_file_and_in_the_page(page):
    out, text = page
    charts = {
        f"{c}_{n}.png" for c in ("violins", "bland_altman", "spectrum", "joint_histogram") for n in ("t1", "t1ce")
    }
    mosaics = {f"{c}_{n}.png" for c in ("worst", "median", "best") for n in ("t1", "t1ce")}
    assert charts | mosaics <= {path.name for path in out.iterdir()}
    assert {"bland_altman.csv", "spectrum.csv", "joint_histogram.csv"} <= {path.name for path in out.iterdir()}
    images = re.findall(r"<img [^>]+>", text)
    assert len(images) == len(charts | mosaics)
    assert all('src="data:image/' in image and re.search(r'alt="[^"]+"', image) for image in images)


def test_the_summary_has_means_and_intervals_of_system_and_controls(page):
    _, text = page
    table = section(text, "summary")
    assert "T1 brain synthetic 6 24.25 [24.12, 24.38]" in table
    assert "T1 brain mean image 6 20.25" in table
    assert "PSNR dB ↑" in table
    assert "Every measure and region, T1ce" in table


def test_other_protocols_stand_beside_ours(page):
    _, text = page
    table = section(text, "protocols")
    assert re.search(r"polycontrast .*brasyn.* dai2020", table)
    assert "24.25 ± 0.19" in table


def test_differences_are_the_systems_minus_a_controls(page):
    _, text = page
    assert re.search(r"T1 brain PSNR dB ↑ 6 \+10\.00 \[\+10\.00, \+10\.00\] p = 0\.031", section(text, "significance"))


def test_cases_are_sorted_by_worst_and_what_failed_stands_first_with_its_reason(page):
    _, text = page
    table = section(text, "cases").partition("T1ce")[0]
    found = re.findall(r"(?:Case|Lost)_\d", table)
    assert found == ["Lost_1", *CASES]
    assert "Lost_1 not judged: no prediction" in table


def test_a_flaw_of_no_contrast_is_noted(page):
    _, text = page
    assert "Case_2, segmentation: unknown value 7" in section(text, "cases")


def test_pictures_say_which_case_they_show(page):
    _, text = page
    images = section(text, "images")
    assert "Worst case by PSNR in the brain: Case_0, 24.00 dB" in images
    assert "Best case by PSNR in the brain: Case_5, 24.50 dB" in images


def test_segmentation_is_shown_per_region_and_input_and_case(page):
    _, text = page
    table = section(text, "downstream")
    assert re.search(r"whole real 6 0\.\d{3} \[0\.\d{3}, 0\.\d{3}\]", table)
    assert "zero-filled" in table
    assert re.search(r"Dice of every case case region real synthetic T2 only zero-filled Case_0 whole 0\.", table)


def test_command_and_versions_are_printed_as_they_are(page):
    _, text = page
    made = section(text, "made")
    assert "polycontrast eval -i 'my folder' --want t1,t1ce" in made
    assert all(name in made for name in ("Polycontrast", "Python", "torch", "numpy", "scikit-image", "Machine", "UTC"))


@pytest.mark.usefixtures("undrawn")
def test_whose_machine_it_was_is_not_told(tmp_path, monkeypatch):
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "somebody")
    monkeypatch.setenv("HOME", "/home/somebody")
    for where in ("socket.gethostname", "platform.node"):
        monkeypatch.setattr(where, lambda: "somebodys-machine")
    text = drawn_report.draw(CASES).write(tmp_path)
    assert "somebody" not in text
    assert str(tmp_path) not in text


@pytest.mark.usefixtures("undrawn")
def test_what_comes_from_files_is_escaped(tmp_path):
    name = drawn_report.HOSTILE.format(port=1)
    drawn = drawn_report.draw([name, "b"])
    drawn.failures = [Failure(name, "T1", f"bad file {name}"), Failure(name, "segmentation", name)]
    drawn.facts = {"cohort": name, "system": name}
    text = drawn.write(tmp_path, command=f"polycontrast eval -i {name}")
    assert name not in text
    assert "<b>" not in text
    assert html.escape(name, quote=False).partition("src")[0] in text


@pytest.mark.usefixtures("undrawn")
def test_a_cohort_of_which_nothing_could_be_judged_still_has_a_report(tmp_path):
    drawn = drawn_report.draw([])
    drawn.failures = [Failure("a", "T1", "no truth")]
    text = drawn.write(tmp_path)
    assert "a not judged: no truth" in section(text, "cases")
    assert 'id="summary"' not in text
    assert "#summary" not in text


@pytest.mark.usefixtures("undrawn")
def test_one_case_has_no_interval_and_a_control_may_be_missing(tmp_path):
    drawn = drawn_report.draw(["a"])
    drawn.rows = [row for row in drawn.rows if row.system in ("synthetic", "constant")]
    table = section(drawn.write(tmp_path), "summary")
    assert "synthetic 1 24.00 no interval" in table
    assert "copy 1" not in table


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(("more", "flag"), [(set(), "no tumour"), ({"ring", "healthy"}, "no segmentation")])
def test_an_empty_region_is_said_to_have_no_value_and_flagged(tmp_path, more, flag):
    drawn = drawn_report.draw(CASES)
    gone = {"tumour", "core", "enhancing"} | more
    drawn.rows = [
        replace(row, values=dict.fromkeys(row.values)) if row.region in gone and row.case != "Case_1" else row
        for row in drawn.rows
    ]
    text = drawn.write(tmp_path)
    assert "tumour synthetic 1 24.10 no interval" in section(text, "summary")
    assert re.search(rf"Case_0 24\.00 – .*? {flag} Case_1 24\.10 24\.10", section(text, "cases"))


@pytest.mark.usefixtures("undrawn")
def test_perfect_images_are_infinite_and_a_loss_to_a_control_is_flagged(tmp_path):
    drawn = drawn_report.draw(CASES)
    better = {"Case_0": float("inf"), "Case_1": 5.0}
    drawn.rows = [
        replace(row, values=row.values | {"psnr": better[row.case]})
        if row.case in better and row.system == "synthetic" and row.region == "brain" else row
        for row in drawn.rows
    ]  # fmt: skip
    text = drawn.write(tmp_path)
    assert "brain synthetic 6 inf no interval" in section(text, "summary")
    found = re.findall(r"Case_\d", section(text, "cases"))
    assert (found[0], found[-1]) == ("Case_1", "Case_0")
    assert re.search(r"Case_1 5\.00 .*? below copy, mean image, constant", section(text, "cases"))


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("psnr", "PSNR dB ↑"), ("nmae", "NMAE ↓"), ("ms_ssim", "MS-SSIM ↑"), ("ssim_2d", "2-D SSIM ↑"),
        ("ssim_official", "SSIM (official) ↑"), ("new_thing", "NEW-THING"),
    ],
)  # fmt: skip
def test_a_column_is_called_as_papers_call_it_and_says_which_way_is_better(name, shown):
    assert report_tables.heading(name) == shown


@pytest.mark.parametrize(
    ("ours", "theirs", "higher", "bold"),
    [
        ((5.0, 6.0), (3.0, 4.0), True, "synthetic"),
        ((5.0, 6.0), (3.0, 5.5), True, None),  # the intervals overlap
        ((5.0, 6.0), (3.0, 4.0), False, "copy"),
        ((5.0, 6.0), None, True, None),  # nothing is known of the other's spread
    ],
)
def test_only_a_mean_that_stands_apart_is_bold(ours, theirs, higher, bold):
    stats = {"synthetic": {"mean": 1.0, "interval": ours}, "copy": {"mean": 1.0, "interval": theirs}}
    assert report_tables._best(stats, higher) == bold


@pytest.mark.usefixtures("undrawn")
def test_without_our_own_protocol_the_others_are_shown(tmp_path):
    text = drawn_report.draw(CASES, protocols=("brasyn",)).write(tmp_path)
    assert "brasyn" in section(text, "protocols")
    assert 'id="summary"' not in text


@pytest.mark.usefixtures("undrawn")
def test_called_from_python_there_is_no_command(tmp_path):
    assert "Called from Python" in section(drawn_report.draw(CASES).write(tmp_path, command=""), "made")
