"""The U-Net baseline keeps the contract, and its own promises."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from polycontrast import recipes, systems
from polycontrast.data.configs import DataConfig, PatchConfig, PhotoConfig
from polycontrast.errors import UserError
from polycontrast.recipes import Recipe, TrainConfig
from polycontrast.systems.base import OptimiserConfig, SampleRng, Step
from polycontrast.systems.unet import Scene, Unet, UnetConfig

from .contract import CPU, SystemContract, drawn_batch, trainer_of

TINY = UnetConfig(levels=5, base=4, generator=OptimiserConfig(((0.0, 2e-3),)))
SLICES = DataConfig(size=32, min_area=2000.0, units="volume", lesion=False)
PATCHES = PatchConfig(spacing=5.0, size=16, margin=2)
PHOTOS = PhotoConfig(load=36, size=32)


def recipe_of(data: Any = SLICES, **system: Any) -> Recipe:
    settings = TrainConfig(batch=4, images=32, bfloat16=(), log_every=8, checkpoint_every=16, preview_every=10**9)
    return Recipe("unet", replace(TINY, **system), data, settings)


def system_and_scene(recipe: Recipe) -> tuple[Unet, Scene]:
    system = trainer_of(recipe).system
    assert isinstance(system, Unet)
    batch = drawn_batch(recipe, 0, torch.float32)
    return system, system.draw(batch, Step("all", ("generator",)), SampleRng(0, batch.index, CPU))


class TestUnet(SystemContract):
    recipe = recipe_of()
    memorised = "g_l1"
    names = {"all": {"g_loss", "g_l1"}}  # noqa: RUF012


class TestUnetOfPatches(TestUnet):
    recipe = replace(recipe_of(PATCHES, levels=3), name="unet_patches")


@pytest.mark.parametrize(
    ("have", "want"),
    [(("T2",), ("T1",)), (("T2",), ("T1", "FLAIR")), (("T2", "T1"), ("FLAIR",)), (("T2", "T1"), ("FLAIR", "T1ce"))],
)
def test_one_network_serves_siso_simo_miso_and_mimo(have: tuple[str, ...], want: tuple[str, ...]) -> None:
    recipe = recipes.with_ways(recipe_of(), have, want)[""]
    _, scene = system_and_scene(recipe)
    batch = drawn_batch(recipe, 0, torch.float32)
    for i, name in enumerate(want):
        assert torch.equal(scene.real[:, [i]], batch.images[:, recipe.data.contrasts.index(name)])
    assert scene.fake.shape == scene.real.shape == (4, len(want), 32, 32)


def test_sources_are_known_by_name_whatever_their_order() -> None:
    system, _ = system_and_scene(recipe_of(have=("T2", "T1"), want=("FLAIR",)))
    images = drawn_batch(recipe_of(), 0, torch.float32).images[:, :2]
    straight, _ = system.synthesize(images, ("T2", "T1"), ("FLAIR",))
    assert torch.equal(system.synthesize(images.flip(1), ("T1", "T2"), ("FLAIR",))[0], straight)
    assert not torch.equal(system.synthesize(images.flip(1), ("T2", "T1"), ("FLAIR",))[0], straight)


def test_its_only_term_is_the_mean_absolute_error_of_all_it_makes() -> None:
    system, scene = system_and_scene(recipe_of())
    (term,) = system.losses("generator", scene).values()
    assert term.weight == 1
    torch.testing.assert_close(term.value, (scene.fake - scene.real).abs().sum() / scene.real.numel())


def test_it_synthesizes_what_it_is_trained_to_make() -> None:
    recipe = recipe_of()
    system, scene = system_and_scene(recipe)
    source = drawn_batch(recipe, 0, torch.float32).images[:, [recipe.data.contrasts.index("T2")]]
    made, _ = system.synthesize(source, ("T2",), system.want)
    torch.testing.assert_close(made[:, :, 0], scene.fake.detach())


@pytest.mark.parametrize(
    ("data", "changed", "size", "planes"),
    [
        (PATCHES, {"levels": 3}, (13, 16, 15), (3,)),
        (PHOTOS, {"have": ("A",), "want": ("B",)}, (30, 31), (1, 3)),
    ],
)
def test_it_learns_from_and_makes_patches_and_photographs(
    data: Any, changed: dict[str, Any], size: tuple[int, ...], planes: tuple[int, ...]
) -> None:
    recipe = recipe_of(data, **changed)
    trainer, batch = trainer_of(recipe), drawn_batch(recipe, 0, torch.float32)
    errors = [trainer.step(batch)["g_l1"] for _ in range(8)]
    assert errors[-1] < errors[0]
    have, want = trainer.system.have, trainer.system.want
    given = batch.images[:, [data.contrasts.index(name) for name in have]]
    odd = given[(..., *(slice(n) for n in size))]
    assert trainer.system.synthesize(odd, have, want)[0].shape == (4, *planes, *size)


@pytest.mark.parametrize("data", [replace(SLICES, paired=False), replace(PHOTOS, layout="unpaired")])
def test_data_without_pairs_are_refused(data: Any) -> None:
    with pytest.raises(UserError, match="pairs") as caught:
        systems.build(TINY, data)
    assert "cyclegan" in caught.value.hint


def test_slabs_are_refused() -> None:
    with pytest.raises(UserError, match="same slice"):
        systems.build(TINY, replace(SLICES, slab=3))


def test_labelled_images_and_contrasts_that_the_data_does_not_show_are_refused() -> None:
    with pytest.raises(UserError, match="learns from pairs"):
        systems.build(TINY, replace(SLICES, labels=(SLICES.contrasts,)))
    with pytest.raises(UserError, match="unet asks for what the data does not show: T1ce, T1") as caught:
        systems.build(TINY, replace(SLICES, contrasts=("T2", "FLAIR")))
    assert "it shows T2, FLAIR" in caught.value.hint


def test_its_network_is_the_one_that_tcmgan_trains() -> None:
    """So a table of the two compares their losses."""
    counts = {}
    for name in ("unet", "tcmgan"):
        recipe = recipes.recipe(name)
        with torch.device("meta"):
            generator = systems.build(recipe.system, recipe.data).players["generator"]
        counts[name] = {k: p.numel() for k, p in generator.named_parameters()}
    ends = ("down.0.0.weight", "up.0.1.weight", "up.0.1.bias")  # as many planes as there are contrasts
    inner = [{k: n for k, n in c.items() if k not in ends} for c in counts.values()]
    assert inner[0] == inner[1]
    assert round(sum(counts["unet"].values()) / 1e6, 2) == 41.82


def test_its_rate_falls_linearly_to_zero_in_the_second_half() -> None:
    optimiser = recipes.recipe("unet").system.generator
    assert [optimiser.rate(f) for f in (0.0, 0.5, 0.75, 1.0)] == pytest.approx([2e-4, 2e-4, 1e-4, 0.0])


@pytest.mark.parametrize("name", ["unet", "unet_small", "unet_3d"])
def test_its_recipes_can_be_built_for_any_units(name: str) -> None:
    recipe = recipes.recipe(name)
    with torch.device("meta"):
        system = systems.build(recipe.system, recipe.data)
    assert recipe.data.size % system.multiple == 0
    assert not recipe.system.tanh
    assert recipe.data.units == "volume"
    assert not recipe.data.lesion
