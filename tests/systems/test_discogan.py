"""DiscoGAN keeps the contract, and its own promises."""

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from polycontrast import losses, recipes, systems
from polycontrast.data.configs import DataConfig, PhotoConfig
from polycontrast.errors import UserError
from polycontrast.recipes import Recipe, TrainConfig
from polycontrast.systems.base import OptimiserConfig, SampleRng, Step
from polycontrast.systems.discogan import Discogan, DiscoganConfig, Scene
from polycontrast.train.loop import Trainer

from .contract import CPU, SystemContract, drawn_batch, enter, trainer_of

SLOW = OptimiserConfig(((0.0, 2e-4),), betas=(0.5, 0.999), weight_decay=1e-5)
TINY = DiscoganConfig(
    base=4, critic_base=4, generator=replace(SLOW, schedule=((0.0, 1e-2),)), discriminator=SLOW
)  # fmt: skip
SLICES = DataConfig(contrasts=("T1", "T2"), size=64, units="volume", lesion=False, paired=False)
PHOTOS = PhotoConfig(layout="unpaired", load=64, size=64, flip=False)
PLAYERS = ("discriminator", "generator")
SIDES = ("a", "b")
NAMES = (
    {"g_loss", "d_loss"}
    | {f"g_{term}_{side}" for term in ("gan", "features", "rec") for side in SIDES}
    | {f"d_{term}_{side}" for term in ("real", "fake") for side in SIDES}
)


def recipe_of(data: Any = SLICES, **system: Any) -> Recipe:
    settings = TrainConfig(batch=4, images=40, bfloat16=(), log_every=8, checkpoint_every=16, preview_every=10**9)
    return Recipe("discogan", replace(TINY, **system), data, settings)


def trained(recipe: Recipe) -> tuple[Trainer, Discogan]:
    trainer = trainer_of(recipe)
    assert isinstance(trainer.system, Discogan)
    return trainer, trainer.system


def scene_of(system: Discogan, recipe: Recipe, phase: str = "all", turns: tuple[str, ...] = PLAYERS) -> Scene:
    batch = drawn_batch(recipe, 0, torch.float32)
    return system.draw(batch, Step(phase, turns), SampleRng(0, batch.index, CPU))


class TestDiscogan(SystemContract):
    recipe = recipe_of()
    memorised = "g_rec_a"
    names = {"first": NAMES, "all": NAMES}  # noqa: RUF012
    batch_statistics = frozenset(PLAYERS)
    batch_losses = frozenset({"generator"})  # feature matching compares the batches' means

    def test_its_phases_name_players_and_last_as_long_as_the_training(self, trainer: Trainer) -> None:
        """The first rate has its share of the training, it does not precede it."""
        phases = trainer.system.phases(1000)
        assert [(phase.name, phase.images) for phase in phases] == [("first", 200), ("all", 800)]
        assert all(set(phase.turns) == set(trainer.system.players) for phase in phases)


def test_the_networks_have_the_papers_numbers_of_parameters() -> None:
    recipe = recipes.recipe("discogan")
    with torch.device("meta"):
        players = systems.build(recipe.system, recipe.data).players
    numbers = {
        f"{player}.{part}": sum(p.numel() for p in network.parameters())
        for player, parts in players.items()
        for part, network in parts.named_children()
    }
    assert numbers == {
        "generator.a_to_b": 5_513_856, "generator.b_to_a": 5_513_856,
        "discriminator.a": 2_765_568, "discriminator.b": 2_765_568,
    }  # fmt: skip


def test_the_critics_have_every_third_turn_and_the_generators_the_other_two() -> None:
    trainer, system = trained(recipe_of())
    phase = trainer.phases[-1]
    turns = [system.turns(phase, updates) for updates in range(7)]
    assert turns == [(PLAYERS[0],), (PLAYERS[1],), (PLAYERS[1],)] * 2 + [(PLAYERS[0],)]
    logged = [{name[0] for name in trainer.step(drawn_batch(recipe_of(), 4 * i, torch.float32))} for i in range(4)]
    assert logged == [{"d"}, {"g"}, {"g"}, {"d"}]


def test_a_critics_step_neither_reconstructs_nor_keeps_a_graph() -> None:
    trainer, system = trained(recipe_of())
    assert not scene_of(system, recipe_of(), turns=("discriminator",)).fake["a"].requires_grad
    assert scene_of(system, recipe_of(), turns=("generator",)).fake["a"].requires_grad
    calls: list[int] = []
    system.players["generator"]["b_to_a"].register_forward_hook(lambda *_: calls.append(1))
    trainer.step(drawn_batch(recipe_of(), 0, torch.float32))
    assert len(calls) == 1


@pytest.mark.parametrize(("phase", "r"), [("first", 0.01), ("all", 0.5)])
def test_the_losses_are_the_papers_equations(phase: str, r: float) -> None:
    _, system = trained(recipe_of())
    scene = scene_of(system, recipe_of(), phase)
    ways, critics = system.players["generator"], system.players["discriminator"]
    a, b = scene.real["a"], scene.real["b"]
    fake_b, fake_a = ways["a_to_b"](a), ways["b_to_a"](b)
    expected: dict[str, tuple[Tensor, float]] = {}
    for side, real, fake, again in (("a", a, fake_a, ways["b_to_a"](fake_b)), ("b", b, fake_b, ways["a_to_b"](fake_a))):
        (true, true_features), (false, false_features) = critics[side](real), critics[side](fake)
        true, false = torch.sigmoid(true), torch.sigmoid(false)
        apart = [((f.mean(0) - t.mean(0)) ** 2).mean() for f, t in zip(false_features, true_features, strict=True)]
        between_0_and_1 = ((again + 1) / 2 - (real + 1) / 2) ** 2
        expected |= {
            f"g_gan_{side}": (F.binary_cross_entropy(false, torch.ones_like(false)), 0.1 * (1 - r)),
            f"g_features_{side}": (apart[0] + apart[1] + apart[2], 0.9 * (1 - r)),
            f"g_rec_{side}": (between_0_and_1.mean(), r),
            f"d_real_{side}": (F.binary_cross_entropy(true, torch.ones_like(true)), 0.5),
            f"d_fake_{side}": (F.binary_cross_entropy(false, torch.zeros_like(false)), 0.5),
        }
    terms = system.losses("generator", scene) | system.losses("discriminator", scene)
    assert {n: term.weight for n, term in terms.items()} == pytest.approx({n: w for n, (_, w) in expected.items()})
    for name, (value, _) in expected.items():
        torch.testing.assert_close(terms[name].value, value, msg=lambda text, name=name: f"{name}: {text}")


def test_features_match_when_batches_agree_on_average_whatever_their_images() -> None:
    real = [torch.tensor([[1.0, 4.0], [3.0, 0.0]]), torch.tensor([[5.0], [7.0]])]
    fake = [torch.tensor([[2.0, 2.0], [2.0, 2.0]]), torch.tensor([[6.0], [6.0]])]
    assert losses.feature_matching(fake, real) == 0
    assert losses.feature_matching([fake[0] + 1, fake[1] + 2], real) == 1 + 4


def test_the_first_rate_holds_for_its_share_of_the_images() -> None:
    trainer, system = trained(recipe_of())
    rates = []
    for images in (0, 4, 8, 36):
        trainer.clock.images = images
        rates.append(scene_of(system, recipe_of(), trainer.phase()[0].name).rate)
    assert rates == [0.01, 0.01, 0.5, 0.5]


def test_the_published_first_rate_lasts_10000_steps() -> None:
    recipe = recipes.recipe("discogan")
    system, train = recipe.system, recipe.train
    assert train.images is not None
    assert system.start * train.images / train.batch == pytest.approx(10_000)
    assert (system.gan, system.features, system.first_rate, system.rate, system.every) == (0.1, 0.9, 0.01, 0.5, 3)
    for adam in (system.generator, system.discriminator):
        assert (adam.rate(0.0), adam.rate(1.0), adam.betas, adam.weight_decay) == (2e-4, 2e-4, (0.5, 0.999), 1e-5)
    assert (train.batch, recipe.data.layout, recipe.data.load, recipe.data.size) == (64, "unpaired", 64, 64)
    assert system.tanh


def test_synthesis_takes_running_statistics_that_training_gathered() -> None:
    trainer, system = trained(recipe_of())
    for i in range(3):
        trainer.step(drawn_batch(recipe_of(), 4 * i, torch.float32))
    given = drawn_batch(recipe_of(), 0, torch.float32).images[:, 1:]
    made, _ = system.synthesize(given, ("T2",), ("T1",))
    assert not torch.allclose(made, scene_of(system, recipe_of()).fake["b"][:, None], atol=1e-3)
    for name, value in system.players["generator"].named_buffers():
        if "running" in name:
            value.fill_(2.0)
    assert not torch.allclose(system.synthesize(given, ("T2",), ("T1",))[0], made, atol=1e-3)


def test_a_larger_image_gets_a_map_of_scores() -> None:
    recipe = recipe_of(replace(SLICES, size=96), base=2, critic_base=2)
    trainer, system = trained(recipe)
    assert system.run("discriminator", scene_of(system, recipe).real["a"], part="a")[0].shape == (4, 1, 3, 3)
    assert torch.tensor(list(trainer.step(drawn_batch(recipe, 0, torch.float32)).values())).isfinite().all()


def test_it_learns_from_and_makes_photographs() -> None:
    recipe = recipe_of(PHOTOS, have=("A",), want=("B",))
    trainer, system = trained(recipe)
    batch = drawn_batch(recipe, 0, torch.float32)
    for _ in range(12):
        enter(trainer, trainer.phases[-1])
        logged = trainer.step(batch)
    assert torch.tensor(list(logged.values())).isfinite().all()
    made, _ = system.synthesize(batch.images[:, :1, ..., :50], ("A",), ("B",))
    assert made.shape == (4, 1, 3, 64, 50)
    assert made.abs().max() <= 1


@pytest.mark.parametrize(("name", "size"), [("discogan_mr", 256), ("discogan_small", 128)])
def test_the_recipes_for_mr_have_no_pairs_and_unbounded_units(name: str, size: int) -> None:
    recipe = recipes.recipe(name)
    data, system = recipe.data, recipe.system
    assert (data.paired, data.lesion, data.units, data.size) == (False, False, "volume", size)
    assert (system.tanh, system.have, system.want) == (False, ("T2",), ("T1",))


@pytest.mark.parametrize("data", [replace(SLICES, paired=True), replace(PHOTOS, layout="aligned")])
def test_pairs_are_refused(data: Any) -> None:
    with pytest.raises(UserError, match="not paired"):
        systems.build(TINY, data)


def test_generators_without_a_turn_are_refused() -> None:
    with pytest.raises(UserError, match="every is 1"):
        systems.build(replace(TINY, every=1), SLICES)


@pytest.mark.parametrize(("size", "words"), [(48, "48 pixels are too small"), (72, "size 72.* not a multiple of 16")])
def test_sizes_that_its_layers_do_not_divide_are_refused(size: int, words: str) -> None:
    with pytest.raises(UserError, match=words):
        systems.build(TINY, replace(SLICES, size=size))
