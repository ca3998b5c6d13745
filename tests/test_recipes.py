from dataclasses import replace

import pytest

from polycontrast import recipes
from polycontrast.errors import UserError
from polycontrast.recipes import RECIPES, Recipe
from polycontrast.systems.base import OptimiserConfig


def in_images(recipe: Recipe, images: int | None, batch: int) -> Recipe:
    return replace(recipe, train=replace(recipe.train, images=images, batch=batch))


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_bears_its_name_and_fits_itself(name: str) -> None:
    recipe = recipes.recipe(name)
    assert recipe.name == name
    assert {*recipe.system.have, *recipe.system.want} <= set(recipe.data.contrasts)
    assert recipe.data.size % 2**recipe.system.levels == 0
    assert set(recipe.train.bfloat16) <= {"generator", "discriminator", "segmenter"}


def test_an_unknown_recipe_is_refused_with_the_list_of_all() -> None:
    with pytest.raises(UserError) as caught:
        recipes.recipe("tcgan")
    assert all(name in caught.value.hint for name in RECIPES)


def test_the_faithful_recipe_has_the_authors_weights() -> None:
    recipe = recipes.tcmgan()
    system = recipe.system
    assert (system.rec, system.cls, system.seg, system.gp) == (0.1, 10.0, 50.0, 100.0)
    assert (system.seg_fake, system.seg_real) == (0.7, 0.3)
    assert (recipe.data.size, recipe.data.units, recipe.train.batch, recipe.train.epochs) == (128, "slice-max", 64, 100)
    assert recipe.train.ema == 0


def test_the_reports_recipe_drops_its_rate_after_30_60_and_90_of_124_epochs() -> None:
    recipe = recipes.tcmgan_report()
    rates = [recipe.system.generator.rate(epoch / 124) for epoch in (0, 29, 30, 59, 60, 89, 90, 124)]
    assert rates == [2e-4, 2e-4, 1e-4, 1e-4, 5e-5, 5e-5, 1e-5, 1e-5]
    assert recipe.system.segmenter.rate(1.0) == 1e-4
    assert recipe.train.epochs == 124


@pytest.mark.parametrize(
    ("images", "batch", "whole"), [(None, 64, 128), (100, 64, 128), (90, 64, 64), (1, 64, 64), (64, 64, 64), (7, 1, 7)]
)
def test_a_run_is_a_whole_number_of_batches_and_at_least_one(images: int | None, batch: int, whole: int) -> None:
    recipe = recipes.with_length(in_images(recipes.tcmgan(), images, batch), slices=1)  # 100 epochs of one slice
    assert recipe.train.images == whole


def test_epochs_are_passes_over_the_slices() -> None:
    assert recipes.with_length(recipes.tcmgan_report(), slices=640).train.images == 124 * 640


def test_a_settled_recipe_stays_as_it_is() -> None:
    settled = recipes.with_length(recipes.tcmgan(), slices=1000)
    assert recipes.with_length(settled, slices=3) == settled


def test_a_rate_steps_at_its_fractions() -> None:
    schedule = OptimiserConfig(((0.0, 1.0), (0.5, 0.1), (0.75, 0.01)))
    assert [schedule.rate(f) for f in (0.0, 0.499, 0.5, 0.749, 0.75, 1.0)] == [1.0, 1.0, 0.1, 0.1, 0.01, 0.01]
