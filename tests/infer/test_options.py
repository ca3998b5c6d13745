"""Options that change what is computed are refused where they would change nothing."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from polycontrast import recipes
from polycontrast.errors import UserError
from polycontrast.infer.options import Options
from polycontrast.infer.sets import load
from polycontrast.infer.synthesizer import Synthesizer
from polycontrast.recipes import Recipe

from .. import models, tiny
from .conftest import volume

T2 = {"T2": volume((24, 24, 24), tiny.LPS * [1, 1, 0.2, 1])}  # slices of 1 mm


def test_each_option_changes_what_is_made(tmp_path: Path) -> None:
    run = models.make_confident(tmp_path / "run")
    plain = Synthesizer.load(run)(T2, ["T1"])["T1"].array
    for options in (Options(fast=True), Options(ensemble=True)):
        assert np.abs(Synthesizer.load(run, options=options)(T2, ["T1"])["T1"].array - plain).max() > 0


def test_a_set_hands_them_to_its_members(tmp_path: Path) -> None:
    folder = models.make_set(tmp_path / "set", [tiny.pairwise(want="T1"), tiny.pairwise(want="FLAIR")])
    plain, both = load(folder)(T2), load(folder, options=Options(ensemble=True))(T2)
    assert all(np.abs(both[name].array - plain[name].array).max() > 0 for name in plain)


def test_a_set_of_which_one_member_knows_no_such_thing_is_refused(tmp_path: Path) -> None:
    by_maximum = replace(tiny.pairwise(), data=replace(tiny.pairwise().data, units="slice-max"))
    folder = models.make_set(tmp_path / "set", [tiny.pairwise(want="FLAIR"), by_maximum])
    with pytest.raises(UserError, match="--fast does nothing with the model t2_to_t1, which sees every slice in units"):
        load(folder, options=Options(fast=True))


def apart(distance: float) -> Recipe:
    recipe = tiny.pairwise()
    return replace(recipe, data=replace(recipe.data, apart=distance))


@pytest.mark.parametrize(
    ("recipe", "options", "words"),
    [
        (tiny.recipe(), Options(fast=True), "--fast does nothing .* every slice in units of its own"),
        (recipes.recipe("dai3d_small"), Options(fast=True), "--fast does nothing .* 3-D patches"),
        (apart(6.0), Options(fast=True), "--fast does nothing .* leaves out as many slices by itself"),
        (recipes.recipe("dai3d_small"), Options(ensemble=True), "--ensemble does nothing .* 3-D patches"),
    ],
)
def test_a_model_that_knows_no_such_thing_is_named(recipe: Recipe, options: Options, words: str) -> None:
    Options().check(recipe.data, "mine")
    with pytest.raises(UserError, match=words):
        options.check(recipe.data, "mine")
