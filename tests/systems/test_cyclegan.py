"""CycleGAN keeps the contract, and its own promises."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from polycontrast import recipes, systems
from polycontrast.data.configs import DataConfig, PatchConfig, PhotoConfig
from polycontrast.errors import UserError
from polycontrast.recipes import Recipe, TrainConfig
from polycontrast.systems.base import OptimiserConfig, SampleRng, Step
from polycontrast.systems.cyclegan import Cyclegan, CycleganConfig, Scene
from polycontrast.train.log import Log
from polycontrast.train.loop import Trainer

from .contract import CPU, SystemContract, drawn_batch, trainer_of

ADAM = OptimiserConfig(((0.0, 2e-3),), betas=(0.5, 0.999))
TINY = CycleganConfig(pool=4, blocks=1, base=4, critic_base=4, generator=ADAM, discriminator=ADAM)
SLICES = DataConfig(contrasts=("T1", "T2"), size=32, units="volume", lesion=False, paired=False)
PHOTOS = PhotoConfig(layout="unpaired", load=36, size=32)
SIDES = ("a", "b")


def recipe_of(data: Any = SLICES, **system: Any) -> Recipe:
    settings = TrainConfig(batch=2, images=32, bfloat16=(), log_every=8, checkpoint_every=16, preview_every=10**9)
    return Recipe("cyclegan", replace(TINY, **system), data, settings)


def trained(recipe: Recipe) -> tuple[Trainer, Cyclegan, Scene]:
    trainer = trainer_of(recipe)
    assert isinstance(trainer.system, Cyclegan)
    return trainer, trainer.system, scene_of(trainer.system, recipe, 0)


def scene_of(system: Cyclegan, recipe: Recipe, first: int) -> Scene:
    batch = drawn_batch(recipe, first, torch.float32)
    return system.draw(batch, Step("all", ("generator", "discriminator")), SampleRng(0, batch.index, CPU))


class TestCyclegan(SystemContract):
    recipe = recipe_of()
    memorised = "g_cycle_a"
    names = {  # noqa: RUF012
        "all": {"g_loss", "d_loss"}
        | {f"g_{term}_{side}" for term in ("gan", "cycle", "identity") for side in SIDES}
        | {f"d_{term}_{side}" for term in ("real", "fake") for side in SIDES}
    }


def test_the_networks_have_the_papers_numbers_of_parameters() -> None:
    recipe = recipes.recipe("cyclegan")
    with torch.device("meta"):
        players = systems.build(recipe.system, recipe.data).players
    millions = {
        f"{player}.{part}": round(sum(p.numel() for p in network.parameters()) / 1e6, 3)
        for player, parts in players.items()
        for part, network in parts.named_children()
    }
    assert millions == {
        "generator.a_to_b": 11.378, "generator.b_to_a": 11.378, "discriminator.a": 2.765, "discriminator.b": 2.765,
    }  # fmt: skip


def test_a_is_what_is_given_and_b_what_is_wanted() -> None:
    recipe = recipe_of()
    _, system, scene = trained(recipe)
    images = drawn_batch(recipe, 0, torch.float32).images
    assert torch.equal(scene.real["a"], images[:, 1])  # T2
    assert torch.equal(scene.real["b"], images[:, 0])  # T1
    made, _ = system.synthesize(images[:, 1:], ("T2",), ("T1",))
    torch.testing.assert_close(made[:, 0], scene.fake["b"].detach())


def test_the_losses_are_the_papers_equations() -> None:
    _, system, scene = trained(recipe_of())
    ways, critics = system.players["generator"], system.players["discriminator"]
    a, b = scene.real["a"], scene.real["b"]
    fake_b, fake_a = ways["a_to_b"](a), ways["b_to_a"](b)
    expected = {
        "g_gan_a": (((critics["a"](fake_a) - 1) ** 2).mean(), 1.0),
        "g_gan_b": (((critics["b"](fake_b) - 1) ** 2).mean(), 1.0),
        "g_cycle_a": ((ways["b_to_a"](fake_b) - a).abs().mean(), 10.0),
        "g_cycle_b": ((ways["a_to_b"](fake_a) - b).abs().mean(), 10.0),
        "g_identity_a": ((ways["b_to_a"](a) - a).abs().mean(), 5.0),
        "g_identity_b": ((ways["a_to_b"](b) - b).abs().mean(), 5.0),
        "d_real_a": (((critics["a"](a) - 1) ** 2).mean(), 0.5),
        "d_real_b": (((critics["b"](b) - 1) ** 2).mean(), 0.5),
        "d_fake_a": ((critics["a"](fake_a) ** 2).mean(), 0.5),
        "d_fake_b": ((critics["b"](fake_b) ** 2).mean(), 0.5),
    }
    terms = system.losses("generator", scene) | system.losses("discriminator", scene)
    assert {name: term.weight for name, term in terms.items()} == {name: w for name, (_, w) in expected.items()}
    for name, (value, _) in expected.items():
        torch.testing.assert_close(terms[name].value, value, msg=lambda text, name=name: f"{name}: {text}")


def test_without_an_identity_weight_no_identity_is_computed() -> None:
    trainer, system, _ = trained(recipe_of(identity=0.0))
    calls: list[int] = []
    system.players["generator"]["a_to_b"].register_forward_hook(lambda *_: calls.append(1))
    logged = trainer.step(drawn_batch(recipe_of(), 0, torch.float32))
    assert len(calls) == 2  # the fake and the way back
    assert not any("identity" in name for name in logged)


def test_the_generators_turn_is_first_and_the_critics_judge_the_fakes_made_before_it() -> None:
    trainer, system, _ = trained(recipe_of())
    assert system.phases(10)[0].turns == ("generator", "discriminator")
    batch = drawn_batch(recipe_of(), 0, torch.float32)
    way, made, seen = system.players["generator"]["b_to_a"], [], []
    way.register_forward_hook(lambda _m, _i, out: made.append(out.detach()))
    system.players["discriminator"]["a"].register_forward_pre_hook(lambda _m, i: seen.append(i[0].detach()))
    system.pools["a"].images.clear()
    trainer.step(batch)
    assert torch.equal(seen[0], made[0])  # the generators' turn
    assert torch.equal(seen[1], torch.cat([batch.images[:, 1], made[0]]))  # the critics', T2 first


def test_the_critics_see_past_fakes_once_the_pools_are_full_and_the_generators_never() -> None:
    recipe = recipe_of()
    _, system, first = trained(recipe)
    scenes = [first, *(scene_of(system, recipe, 2 * step) for step in range(1, 12))]
    olds = {
        side: [not torch.equal(p, f) for s in scenes for p, f in zip(s.pooled[side], s.fake[side], strict=True)]
        for side in SIDES
    }
    for side in SIDES:
        assert not any(olds[side][:4])
        assert 0.25 < sum(olds[side][4:]) / 20 < 0.75
    assert olds["a"] != olds["b"]
    scene = next(s for s in scenes if not torch.equal(s.pooled["b"], s.fake["b"]))
    critic = system.players["discriminator"]["b"]
    assert torch.equal(system.losses("generator", scene)["g_gan_b"].value, ((critic(scene.fake["b"]) - 1) ** 2).mean())
    pooled = (critic(scene.pooled["b"]) ** 2).mean()
    torch.testing.assert_close(system.losses("discriminator", scene)["d_fake_b"].value, pooled)


def test_a_resumed_trainer_has_the_same_pools_to_the_bit(tmp_path: Path) -> None:
    recipe = recipe_of()
    first, second = trained(recipe)[0], trained(recipe)[0]
    for step in range(4):
        first.step(drawn_batch(recipe, 2 * step, torch.float32))
    first.save(tmp_path, Log(tmp_path))
    second.load(tmp_path, Log(tmp_path))
    for step in range(4, 8):
        batch = drawn_batch(recipe, 2 * step, torch.float32)
        assert first.step(batch) == second.step(batch)
    for side in SIDES:
        pools = [t.system.extra_state()[side] for t in (first, second)]
        assert len(pools[0]) == 4
        assert all(torch.equal(a, b) for a, b in zip(*pools, strict=True))


def test_the_rate_falls_linearly_to_zero_in_the_second_half() -> None:
    config = CycleganConfig()
    for optimiser in (config.generator, config.discriminator):
        rates = [optimiser.rate(epoch / 200) for epoch in (0, 50, 100, 125, 150, 200)]
        assert rates == pytest.approx([2e-4, 2e-4, 2e-4, 1.5e-4, 1e-4, 0.0])
        assert optimiser.betas == (0.5, 0.999)


def test_the_recipe_is_the_papers() -> None:
    recipe = recipes.recipe("cyclegan")
    data, system = recipe.data, recipe.system
    assert (data.layout, data.load, data.size, data.flip) == ("unpaired", 286, 256, True)
    assert (system.cycle, system.identity, system.pool, system.blocks, system.tanh) == (10.0, 0.5, 50, 9, True)
    assert (recipe.train.batch, recipe.train.epochs, recipe.train.ema) == (1, 200, 0)


@pytest.mark.parametrize(("name", "size", "blocks"), [("cyclegan_mr", 256, 9), ("cyclegan_small", 128, 6)])
def test_the_recipes_for_mr_have_no_pairs_and_unbounded_units(name: str, size: int, blocks: int) -> None:
    recipe = recipes.recipe(name)
    data, system = recipe.data, recipe.system
    assert (data.paired, data.lesion, data.units, data.size) == (False, False, "volume", size)
    assert (system.tanh, system.blocks, system.have, system.want) == (False, blocks, ("T2",), ("T1",))


def test_several_wanted_contrasts_are_a_set_of_runs() -> None:
    ways = recipes.with_ways(recipes.recipe("cyclegan_mr"), ("T2",), ("T1", "FLAIR"))
    assert {name: run.data.contrasts for name, run in ways.items()} == {
        "t2_to_t1": ("T1", "T2"), "t2_to_flair": ("T2", "FLAIR"),
    }  # fmt: skip
    assert all(not run.data.paired for run in ways.values())


def test_it_learns_from_and_makes_photographs() -> None:
    recipe = recipe_of(PHOTOS, have=("A",), want=("B",), base=2, critic_base=2)
    trainer, system, scene = trained(recipe)
    assert scene.fake["b"].shape == scene.real["a"].shape == (2, 3, 32, 32)
    logged = trainer.step(drawn_batch(recipe, 0, torch.float32))
    assert torch.tensor(list(logged.values())).isfinite().all()
    given: Tensor = drawn_batch(recipe, 0, torch.float32).images[:, :1, ..., :-3]
    assert system.synthesize(given, ("A",), ("B",))[0].shape == given.shape


@pytest.mark.parametrize(
    "data", [replace(SLICES, paired=True), replace(PHOTOS, layout="aligned"), PatchConfig(contrasts=("T1", "T2"))]
)
def test_pairs_are_refused(data: Any) -> None:
    with pytest.raises(UserError, match="not paired") as caught:
        systems.build(TINY, data)
    assert "paired to false" in caught.value.hint


@pytest.mark.parametrize(("have", "want"), [(("T2", "T1"), ("FLAIR",)), (("T2",), ("T1", "FLAIR")), (("T2",), ("T2",))])
def test_anything_but_one_contrast_into_another_is_refused(have: tuple[str, ...], want: tuple[str, ...]) -> None:
    with pytest.raises(UserError, match="one contrast into another"):
        systems.build(replace(TINY, have=have, want=want), SLICES)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (replace(SLICES, slab=3), "slabs of 3"),
        (replace(SLICES, labels=(("T1", "T2"),)), "labelled images"),
        (replace(SLICES, contrasts=("T2", "FLAIR")), "cyclegan asks for what the data does not show: T1"),
    ],
)
def test_slabs_labels_and_contrasts_that_the_data_does_not_show_are_refused(data: DataConfig, words: str) -> None:
    with pytest.raises(UserError, match=words):
        systems.build(TINY, data)
