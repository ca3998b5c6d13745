"""From a folder, a split file and a role to the cases that are meant, and no others."""

from pathlib import Path
from typing import Any

import pytest

from polycontrast.errors import UserError
from polycontrast.io.files import write_json
from polycontrast.workflows.cohort import cached_cases, cases_of

from .. import tiny


def split(folder: Path, content: Any) -> Path:
    write_json(folder / "split.json", content)
    return folder / "split.json"


def test_without_a_split_every_case_is_taken(cohort: Path) -> None:
    assert [case.id for case in cases_of(cohort, None, "gan")] == [f"Tiny_{i}" for i in range(4)]


def test_a_role_takes_its_cases_in_the_order_of_the_file(cohort: Path, tmp_path: Path) -> None:
    file = split(tmp_path, {"gan": ["Tiny_2", "Tiny_0"], "test": ["Tiny_1"]})
    assert [case.id for case in cases_of(cohort, file, "gan")] == ["Tiny_2", "Tiny_0"]


@pytest.mark.parametrize(
    ("content", "words", "hint"),
    [
        ({"test": ["Tiny_0"]}, "no case has the role 'gan'", "roles in this file: test"),
        ({"gan": []}, "no case has the role 'gan'", "gan"),
        ({"gan": "Tiny_0"}, "not a split file", "expected"),
        (["Tiny_0"], "not a split file", "expected"),
        ({"gan": ["Tiny_0", *(f"Away_{i}" for i in range(7))]}, "7 of 8 .* Away_0.* \\.\\.\\.", "unpack"),
    ],
)
def test_a_split_that_does_not_fit_is_refused(
    cohort: Path, tmp_path: Path, content: Any, words: str, hint: str
) -> None:
    file = split(tmp_path, content)
    with pytest.raises(UserError, match=words) as caught:
        cases_of(cohort, file, "gan")
    assert hint in caught.value.hint
    assert caught.value.path == file


@pytest.fixture
def flawed(tmp_path: Path) -> Path:
    """A good case, and one with two files for T1."""
    for name in ("Good", "Flawed"):
        tiny.draw_case(tmp_path / "data", name)
    tiny.write(tmp_path / "data" / "Flawed" / "Flawed_t1n.nii.gz", tiny.images(0)[0]["t1"])
    return tmp_path / "data"


def test_a_flawed_case_stops_those_who_ask_for_it_and_no_others(flawed: Path, tmp_path: Path) -> None:
    file = split(tmp_path, {"gan": ["Good"], "test": ["Flawed"]})
    assert [case.id for case in cases_of(flawed, file, "gan")] == ["Good"]
    for asked, remedy in ((file, "give it no role"), (None, "take it out of this folder")):
        with pytest.raises(UserError, match=r"Flawed cannot be used: .*two files for T1") as caught:
            cases_of(flawed, asked, "test")
        assert remedy in caught.value.hint
        assert ("role" in caught.value.hint) is (asked is not None)


def test_flawed_cases_of_the_role_are_set_apart_where_that_is_asked_for(flawed: Path, tmp_path: Path) -> None:
    for content, good, bad in (
        (None, ["Good"], ["Flawed"]),
        ({"test": ["Flawed", "Good"]}, ["Good"], ["Flawed"]),
        ({"test": ["Flawed"]}, [], ["Flawed"]),
        ({"test": ["Good"], "gan": ["Flawed"]}, ["Good"], []),
    ):
        told: dict[str, str] = {}
        file = split(tmp_path, content) if content else None
        assert [case.id for case in cases_of(flawed, file, "test", told)] == good
        assert list(told) == bad
        assert all("two files for T1" in reason for reason in told.values())


def test_cases_that_have_nothing_of_what_is_asked_for_are_told_and_left_out(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny.draw_case(tmp_path / "cohort", "Tiny_0")
    tiny.draw_case(tmp_path / "cohort", "Other", t1=None, t2=None)
    found = cached_cases(tmp_path / "cohort", None, "gan", ("T1", "T2"), cache)
    assert [entry.id for entry in found] == ["Tiny_0"]
    assert "left out, for they have none of T1, T2: Other" in capsys.readouterr().err
    with pytest.raises(UserError, match="has none of PD"):
        cached_cases(tmp_path / "cohort", None, "gan", ("PD",), cache)


def test_entries_are_those_of_the_role(cohort: Path, cache: Path, tmp_path: Path) -> None:
    file = split(tmp_path, {"gan": ["Tiny_3", "Tiny_1"]})
    entries = cached_cases(cohort, file, "gan", ("T1", "T2"), cache)
    assert [entry.id for entry in entries] == ["Tiny_3", "Tiny_1"]
    assert entries[0].contrasts == ("T1", "T2")
