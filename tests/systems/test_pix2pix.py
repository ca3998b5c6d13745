"""pix2pix keeps the contract, and its own promises."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from polycontrast import recipes, systems
from polycontrast.data.configs import DataConfig, PatchConfig, PhotoConfig
from polycontrast.errors import UserError
from polycontrast.recipes import Recipe, TrainConfig
from polycontrast.systems.base import OptimiserConfig, SampleRng, Step
from polycontrast.systems.pix2pix import Pix2pix, Pix2pixConfig, Scene
from polycontrast.train.loop import Trainer

from .contract import CPU, SystemContract, drawn_batch, trainer_of

ADAM = OptimiserConfig(((0.0, 2e-3),), betas=(0.5, 0.999))
TINY = Pix2pixConfig(
    have=("T2",), want=("FLAIR",), levels=5, base=4, critic_base=4, generator=ADAM,
    discriminator=OptimiserConfig(((0.0, 2e-4),), betas=(0.5, 0.999)),
)  # fmt: skip
SLICES = DataConfig(contrasts=("T2", "FLAIR"), size=32, min_area=2000.0, units="volume", lesion=False)
PATCHES = PatchConfig(contrasts=("T2", "FLAIR"), spacing=5.0, size=24, margin=2)
PHOTOS = PhotoConfig(load=36, size=32)
BOTH = Step("all", ("discriminator", "generator"))
ALL_NAMES = {"d_loss", "d_real", "d_fake", "g_loss", "g_fake", "g_l1"}


def recipe_of(data: Any = SLICES, **system: Any) -> Recipe:
    settings = TrainConfig(batch=2, images=32, bfloat16=(), log_every=8, checkpoint_every=16, preview_every=10**9)
    return Recipe("pix2pix", replace(TINY, **system), data, settings)


def trained(recipe: Recipe) -> tuple[Trainer, Pix2pix, Scene]:
    trainer = trainer_of(recipe)
    assert isinstance(trainer.system, Pix2pix)
    batch = drawn_batch(recipe, 0, torch.float32)
    return trainer, trainer.system, trainer.system.draw(batch, BOTH, SampleRng(0, batch.index, CPU))


def source_of(recipe: Recipe) -> Tensor:
    images = drawn_batch(recipe, 0, torch.float32).images
    return images[:, [recipe.data.contrasts.index(name) for name in recipe.system.have]]


class TestPix2pix(SystemContract):
    recipe = recipe_of(replace(SLICES, size=64), levels=6)  # the fewest levels that have dropout
    memorised = "g_l1"
    names = {"all": ALL_NAMES}  # noqa: RUF012
    batch_statistics = frozenset({"generator", "discriminator"})


class TestPix2pixOfPatches(TestPix2pix):
    recipe = replace(recipe_of(PATCHES, levels=3), name="pix2pix_patches")


def test_the_networks_have_the_papers_numbers_of_parameters() -> None:
    recipe = recipes.recipe("pix2pix")
    with torch.device("meta"):
        players = systems.build(recipe.system, recipe.data).players
    millions = {name: sum(p.numel() for p in network.parameters()) / 1e6 for name, network in players.items()}
    assert {name: round(m, 3) for name, m in millions.items()} == {"generator": 54.414, "discriminator": 2.769}


def test_the_generator_has_batch_norm_and_dropout_after_three_expansions() -> None:
    recipe = recipes.recipe("pix2pix")
    with torch.device("meta"):
        generator = systems.build(recipe.system, recipe.data).players["generator"]
    dropped = [i for i, up in enumerate(generator.up) if any(isinstance(m, nn.Dropout) for m in up)]
    assert dropped == [4, 5, 6]
    norms = [m for m in generator.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    assert len(norms) == 6 + 7


def test_the_critic_sees_the_source_beside_the_candidate_in_a_pass_each() -> None:
    _, system, scene = trained(recipe_of())
    seen: list[Tensor] = []
    system.players["discriminator"].register_forward_pre_hook(lambda _m, inputs: seen.append(inputs[0].detach()))
    system.losses("discriminator", scene)
    system.losses("generator", scene)
    assert len(seen) == 3
    for pair, candidate in zip(seen, (scene.real, scene.fake, scene.fake), strict=True):
        assert torch.equal(pair, torch.cat([scene.source, candidate.detach()], 1))


def test_the_losses_are_the_papers_with_that_of_the_critic_halved() -> None:
    trainer, system, scene = trained(recipe_of())
    critic = system.players["discriminator"]
    real = torch.sigmoid(critic(torch.cat([scene.source, scene.real], 1)))
    fake = torch.sigmoid(critic(torch.cat([scene.source, scene.fake], 1)))
    expected = {
        "d_real": (-real.log().mean(), 0.5),
        "d_fake": (-(1 - fake).log().mean(), 0.5),
        "g_fake": (-fake.log().mean(), 1.0),
        "g_l1": ((scene.fake - scene.real).abs().sum() / scene.real.numel(), 100.0),
    }
    terms = system.losses("discriminator", scene) | system.losses("generator", scene)
    assert {name: term.weight for name, term in terms.items()} == {name: w for name, (_, w) in expected.items()}
    for name, (value, _) in expected.items():
        torch.testing.assert_close(terms[name].value, value, msg=lambda text, name=name: f"{name}: {text}")
    logged = trainer.step(drawn_batch(recipe_of(), 0, torch.float32))
    assert logged["d_loss"] == pytest.approx((logged["d_real"] + logged["d_fake"]) / 2)
    assert logged["g_loss"] == pytest.approx(logged["g_fake"] + 100 * logged["g_l1"])


def test_the_critic_takes_its_turn_first_and_the_generator_runs_once() -> None:
    trainer, system, _ = trained(recipe_of())
    calls: list[str] = []
    for name, network in system.players.items():
        network.register_forward_hook(lambda *_, name=name: calls.append(name))
    trainer.step(drawn_batch(recipe_of(), 0, torch.float32))
    assert system.phases(10)[0].turns == ("discriminator", "generator")
    assert calls == ["generator", "discriminator", "discriminator", "discriminator"]


def test_l1_alone_has_no_critic() -> None:
    trainer, system, _ = trained(recipe_of(gan=0.0))
    assert set(system.players) == set(system.optimisers) == {"generator"}
    assert [phase.turns for phase in system.phases(10)] == [("generator",)]
    logged = trainer.step(drawn_batch(recipe_of(), 0, torch.float32))
    assert set(logged) == {"g_loss", "g_l1"}
    assert logged["g_loss"] == pytest.approx(100 * logged["g_l1"])


def test_cgan_alone_only_logs_the_l1_norm() -> None:
    trainer, _, _ = trained(recipe_of(l1=0.0))
    logged = trainer.step(drawn_batch(recipe_of(), 0, torch.float32))
    assert set(logged) == ALL_NAMES
    assert logged["g_l1"] > 0
    assert logged["g_loss"] == pytest.approx(logged["g_fake"])


def test_the_ablation_starts_from_one_and_the_same_generator() -> None:
    first, *others = (trained(recipe_of(**weights))[1] for weights in ({}, {"gan": 0.0}, {"l1": 0.0}))
    for other in others:
        for a, b in zip(first.players["generator"].parameters(), other.players["generator"].parameters(), strict=True):
            assert torch.equal(a, b)


def test_dropout_is_on_in_training_and_off_at_synthesis() -> None:
    recipe = recipe_of(replace(SLICES, size=64), levels=6)
    _, system, scene = trained(recipe)
    batch = drawn_batch(recipe, 0, torch.float32)
    assert not torch.allclose(system.draw(batch, BOTH, SampleRng(0, batch.index, CPU)).fake, scene.fake)
    made = [system.synthesize(source_of(recipe), system.have, system.want)[0] for _ in range(2)]
    assert torch.equal(made[0], made[1])
    assert system.players["generator"].training


def test_batch_norm_uses_the_images_own_statistics_at_synthesis() -> None:
    """At the published batch of one, training normalises as synthesis does: the running statistics have no say."""
    recipe = recipe_of()
    recipe = replace(recipe, train=replace(recipe.train, batch=1))
    trainer, system, _ = trained(recipe)
    for _ in range(3):
        trainer.step(drawn_batch(recipe, 0, torch.float32))
    batch = drawn_batch(recipe, 0, torch.float32)
    fake = system.draw(batch, BOTH, SampleRng(0, batch.index, CPU)).fake.detach()
    made, _ = system.synthesize(source_of(recipe), system.have, system.want)
    torch.testing.assert_close(made[:, 0], fake, atol=1e-5, rtol=1e-4)


def test_the_rate_falls_linearly_to_zero_in_the_second_half() -> None:
    recipe = recipes.recipe("pix2pix")
    for optimiser in (recipe.system.generator, recipe.system.discriminator):
        rates = [optimiser.rate(epoch / 200) for epoch in (0, 50, 100, 125, 150, 200)]
        assert rates == pytest.approx([2e-4, 2e-4, 2e-4, 1.5e-4, 1e-4, 0.0])
        assert optimiser.betas == (0.5, 0.999)


def test_the_trainer_follows_the_falling_rate() -> None:
    trainer, _, _ = trained(recipe_of(generator=Pix2pixConfig().generator))
    trainer.clock.images = trainer.total * 3 // 4
    trainer.step(drawn_batch(recipe_of(), 0, torch.float32))
    assert trainer.optimisers["generator"].param_groups[0]["lr"] == pytest.approx(1e-4)


def test_the_recipe_is_the_papers() -> None:
    recipe = recipes.recipe("pix2pix")
    data, system = recipe.data, recipe.system
    assert (data.layout, data.load, data.size, data.flip) == ("aligned", 286, 256, True)
    assert (system.gan, system.l1, system.levels, system.base, system.tanh) == (1.0, 100.0, 8, 64, True)
    assert (recipe.train.batch, recipe.train.epochs, recipe.train.ema) == (1, 200, 0)
    l1, cgan = recipes.recipe("pix2pix_l1").system, recipes.recipe("pix2pix_cgan").system
    assert ((l1.gan, l1.l1), (cgan.gan, cgan.l1)) == ((0.0, 100.0), (1.0, 0.0))


@pytest.mark.parametrize("name", ["pix2pix_mr", "pix2pix_small"])
def test_the_recipes_for_mr_have_unbounded_units_and_batches_of_one(name: str) -> None:
    recipe = recipes.recipe(name)
    with torch.device("meta"):
        system = systems.build(recipe.system, recipe.data)
    assert recipe.data.size == system.multiple
    assert (recipe.data.units, recipe.data.lesion, recipe.system.tanh, recipe.train.batch) == (
        "volume",
        False,
        False,
        1,
    )


def test_several_wanted_contrasts_are_a_set_of_runs_and_several_sources_channels_of_one() -> None:
    runs = recipes.with_ways(recipes.recipe("pix2pix_mr"), ("T2", "T1"), ("T1ce", "FLAIR"))
    assert {name: run.system.want for name, run in runs.items()} == {
        "t2_t1_to_t1ce": ("T1ce",), "t2_t1_to_flair": ("FLAIR",),
    }  # fmt: skip
    both = replace(SLICES, contrasts=("T1", "T2", "FLAIR"))
    _, system, scene = trained(recipe_of(both, have=("T2", "T1")))
    batch = drawn_batch(recipe_of(both), 0, torch.float32)
    assert torch.equal(scene.source, batch.images[:, [1, 0], 0])
    assert torch.equal(scene.real, batch.images[:, 2])
    straight, _ = system.synthesize(batch.images[:, [1, 0]], ("T2", "T1"), ("FLAIR",))
    assert torch.equal(system.synthesize(batch.images[:, [0, 1]], ("T1", "T2"), ("FLAIR",))[0], straight)


@pytest.mark.parametrize(
    ("data", "changed", "size"),
    [
        (PATCHES, {"levels": 3, "base": 2}, (23, 24, 21)),
        (PHOTOS, {"have": ("A",), "want": ("B",)}, (30, 31)),
    ],
)
def test_it_learns_from_and_makes_patches_and_photographs(
    data: Any, changed: dict[str, Any], size: tuple[int, ...]
) -> None:
    recipe = recipe_of(data, **changed)
    trainer, system, scene = trained(recipe)
    assert scene.fake.shape == scene.real.shape == (2, data.channels, *[data.size] * data.dims)
    errors = [trainer.step(drawn_batch(recipe, 0, torch.float32))["g_l1"] for _ in range(8)]
    assert errors[-1] < errors[0]
    odd = source_of(recipe)[(..., *(slice(n) for n in size))]
    made, _ = system.synthesize(odd, system.have, system.want)
    assert made.shape == (2, *([1, data.channels] if data.dims == 2 else [1]), *size)


@pytest.mark.parametrize("data", [replace(SLICES, paired=False), replace(PHOTOS, layout="unpaired")])
def test_data_without_pairs_are_refused(data: Any) -> None:
    with pytest.raises(UserError, match="pairs") as caught:
        systems.build(TINY, data)
    assert "cyclegan" in caught.value.hint


def test_slabs_and_several_wanted_contrasts_are_refused() -> None:
    with pytest.raises(UserError, match="same slice"):
        systems.build(TINY, replace(SLICES, slab=3))
    with pytest.raises(UserError, match="FLAIR, T1"):
        systems.build(replace(TINY, want=("FLAIR", "T1")), DataConfig(lesion=False))
