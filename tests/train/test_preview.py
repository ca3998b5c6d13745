"""The picture of a training: which samples it shows, and what it says of them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from polycontrast import pictures, systems
from polycontrast.data import open_dataset
from polycontrast.data.cache import Entry, cached
from polycontrast.io.layout import find_cases
from polycontrast.recipes import Recipe
from polycontrast.systems.cyclegan import CycleganConfig
from polycontrast.train.preview import preview

from .. import tiny

CONTRASTS = ("T1", "T1ce", "T2", "FLAIR")
Columns = list[list[str]]


@pytest.fixture(name="columns")
def _columns(monkeypatch: pytest.MonkeyPatch) -> Columns:
    """The columns of each picture that would be drawn."""
    found: Columns = []
    monkeypatch.setattr(pictures, "preview", lambda *given, **_: found.append(given[3]))
    return found


def others(folder: Path, cache: Path, **gone: Any) -> list[Entry]:
    """A case in which these contrasts are others, or missing."""
    images, _ = tiny.images(7)
    tiny.draw_case(folder, "Other_0", seed=7, pd=images["flair"], **gone)
    return cached(find_cases(folder), (*CONTRASTS, "PD"), cache)


def draw(recipe: Recipe, source: Any, folder: Path) -> None:
    system = systems.build(recipe.system, recipe.data)
    preview(system, open_dataset(recipe.data, source, batch=2), folder / "8.png", rows=2)


def test_samples_are_of_the_first_cohort_that_can_be_given(
    entries: list[Entry], cache: Path, tmp_path: Path, columns: Columns
) -> None:
    recipe = tiny.labelled((CONTRASTS, ("T1", "T2", "PD")))
    source = [entries, others(tmp_path / "cohort", cache, t1ce=None, flair=None)]
    for have in ("T2", "PD", "FLAIR"):
        draw(replace(recipe, system=replace(recipe.system, have=(have,), want=("T1", "PD"))), source, tmp_path)
    assert columns == [
        ["T2", "T1 synthetic", "T1 real", "PD synthetic"],
        ["PD", "T1 synthetic", "T1 real"],
        ["FLAIR", "T1 synthetic", "T1 real", "PD synthetic"],
    ]


@pytest.mark.parametrize("complete", [False, True])
def test_what_is_of_another_case_is_not_called_real(
    entries: list[Entry], cache: Path, tmp_path: Path, columns: Columns, complete: bool
) -> None:
    data = replace(tiny.pairwise().data, paired=False)
    system = CycleganConfig(have=("T2",), want=("T1",), blocks=1, base=4, critic_base=4, tanh=False)
    recipe = replace(tiny.pairwise(), system=system, data=data)
    source = [*others(tmp_path / "a", cache, t1=None), *others(tmp_path / "b", cache, t2=None)]
    draw(recipe, source + (entries[:1] if complete else []), tmp_path)
    assert columns == [["T2", "T1 synthetic", "T1 real" if complete else "T1 of another"]]
