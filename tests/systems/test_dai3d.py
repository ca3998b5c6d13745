"""Dai et al.'s unified GAN keeps the contract, and its own promises, in 3-D and in 2-D."""

from collections import Counter
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from polycontrast import losses, recipes, systems
from polycontrast.data import open_dataset
from polycontrast.data.batches import Batch
from polycontrast.data.cache import Entry
from polycontrast.data.configs import DataConfig, PatchConfig, PhotoConfig
from polycontrast.errors import UserError
from polycontrast.nets.layers import with_planes
from polycontrast.recipes import Recipe, TrainConfig
from polycontrast.systems.base import OptimiserConfig, SampleRng, Step
from polycontrast.systems.dai3d import Dai3d, Dai3dConfig, Scene
from polycontrast.train.loop import Trainer

from .contract import CPU, SystemContract, trainer_of

ALL = Step("all", ("discriminator", "generator"))
NAMES = ("T2", "FLAIR", "T1ce", "T1")
CONFIG = Dai3dConfig(
    levels=2, base=8, critic_levels=2, critic_base=4,
    generator=OptimiserConfig(((0.0, 2e-3),), (0.5, 0.999)),
)  # fmt: skip
PATCHES = PatchConfig(spacing=5.0, size=16, margin=4)
SETTINGS = TrainConfig(batch=2, images=32, bfloat16=(), log_every=8, checkpoint_every=16, preview_every=10**9)
LOGGED = {
    "all": {
        *("d_loss", "d_real", "d_fake", "d_cls"),
        *("g_loss", "g_fake", "g_cls", "g_rec", "g_cycle", "g_cycle_fake", "g_cycle_cls"),
    }
}


class TestDai3d(SystemContract):
    recipe = Recipe("dai3d", CONFIG, PATCHES, SETTINGS)
    memorised = "g_rec"
    names = LOGGED


class TestDai3dOfSlices(SystemContract):
    recipe = Recipe("dai3d_slices", CONFIG, DataConfig(size=32, units="volume", lesion=False), SETTINGS)
    memorised = "g_rec"
    names = LOGGED


@pytest.fixture
def batch(entries: list[Entry]) -> Batch:
    return open_dataset(PATCHES, entries).batch(range(12))


@pytest.fixture
def trainer() -> Trainer:
    return trainer_of(TestDai3d.recipe)


def scene_of(system: systems.System, batch: Batch) -> Scene:
    scene: Scene = system.draw(batch, ALL, SampleRng(0, batch.index, CPU))
    return scene


def shown(images: Tensor, batch: Batch) -> list[str]:
    """Which contrast of its sample each of [B, 1, *size] is."""
    return [
        next(name for i, name in enumerate(PATCHES.contrasts) if torch.equal(image[0], sample[i]))
        for image, sample in zip(images, batch.images, strict=True)
    ]


def test_the_weights_are_the_papers() -> None:
    recipe = recipes.recipe("dai3d")
    c: Dai3dConfig = recipe.system
    assert (c.alpha, c.beta, c.gamma, c.delta, c.mu) == (2, 5, 10, 2, 0.1)
    assert (recipe.data.size, recipe.data.size - 2 * recipe.data.margin, recipe.data.spacing) == (72, 48, 1.0)
    assert (set(c.have), set(c.want)) == (set(NAMES), set(NAMES))


@pytest.mark.parametrize(
    ("name", "counts"), [("dai3d", (5_796_481, 11_160_000)), ("dai3d_small", (1_456_449, 2_770_144))]
)
def test_the_networks_have_these_numbers_of_parameters(name: str, counts: tuple[int, int]) -> None:
    """Of our layers: the paper's are not public."""
    recipe = recipes.recipe(name)
    with torch.device("meta"):
        players = systems.build(recipe.system, recipe.data).players
    assert tuple(sum(p.numel() for p in players[n].parameters()) for n in ("generator", "discriminator")) == counts


@pytest.mark.parametrize("name", ["dai3d", "dai3d_small"])
def test_the_recipes_sizes_suit_their_networks(name: str) -> None:
    recipe = recipes.recipe(name)
    c: Dai3dConfig = recipe.system
    assert recipe.data.size % 2**c.levels == 0
    assert recipe.data.size - 2 * recipe.data.margin > recipe.data.size / 2
    assert recipe.data.size // 2**c.critic_levels > 1


def test_each_sample_draws_a_source_and_another_contrast_as_its_target(trainer: Trainer, batch: Batch) -> None:
    scene = scene_of(trainer.system, batch)
    sources, targets = shown(scene.source, batch), shown(scene.real, batch)
    assert not [s for s, t in zip(sources, targets, strict=True) if s == t]
    for names, label in ((sources, scene.source_label), (targets, scene.label)):
        assert [NAMES[i] for i in label.argmax(1).tolist()] == names
        assert torch.equal(label.sum(1), torch.ones(len(batch.index)))


def test_each_pair_of_contrasts_is_drawn_equally_often(trainer: Trainer) -> None:
    n = 1200
    images = torch.zeros(n, 4, 1, 1, 1) + torch.arange(4).view(1, 4, 1, 1, 1)
    nothing = torch.zeros(n, 1, 1, 1, 1, dtype=torch.bool)
    batch = Batch(images, torch.ones(n, 4, dtype=torch.bool), nothing, nothing, tuple(range(n)), dims=3)
    trainer.system.run = lambda _, x: x  # type: ignore[method-assign]
    scene = scene_of(trainer.system, batch)
    drawn = Counter(zip(scene.source.flatten().tolist(), scene.real.flatten().tolist(), strict=True))
    assert len(drawn) == 12
    assert list(drawn.values()) == pytest.approx([100] * 12, rel=0.35)


def test_a_draw_depends_on_the_samples_index_alone(trainer: Trainer, batch: Batch) -> None:
    together = scene_of(trainer.system, batch)
    alone = replace(batch.map(lambda x: x[5:6]), index=batch.index[5:6])
    assert torch.equal(scene_of(trainer.system, alone).label, together.label[5:6])


def test_the_losses_are_the_papers_equations(trainer: Trainer, batch: Batch) -> None:
    """Each term once more, written from the networks' own outputs; with the weights of the description."""
    scene, players = scene_of(trainer.system, batch), trainer.system.players
    discriminator, generator = players["discriminator"], players["generator"]
    cycled = generator(with_planes(scene.fake, scene.source_label))
    score = {"real": [discriminator(x) for x in (scene.source, scene.real)], "fake": discriminator(scene.fake)}
    named = [losses.cross_entropy(logits, label) for (_, logits), label in
             zip(score["real"], (scene.source_label, scene.label), strict=True)]  # fmt: skip
    again, which = discriminator(cycled)
    expected = {
        "d_real": (sum(((s - 1) ** 2).mean() for s, _ in score["real"]) / 2, 1.0),
        "d_fake": ((score["fake"][0] ** 2).mean(), 1.0),
        "d_cls": (sum(named) / 2, 2.0),
        "g_fake": (((score["fake"][0] - 1) ** 2).mean(), 2.0),
        "g_cls": (losses.cross_entropy(score["fake"][1], scene.label), 2.0),
        "g_rec": ((scene.fake - scene.real).abs().mean(), 5.0),
        "g_cycle": ((cycled - scene.source).abs().mean(), 10.0),
        "g_cycle_fake": (((again - 1) ** 2).mean(), 0.1),
        "g_cycle_cls": (losses.cross_entropy(which, scene.source_label), 0.1),
    }
    terms = {name: term for player in players for name, term in trainer.system.losses(player, scene).items()}
    assert set(terms) == set(expected)
    for name, term in terms.items():
        value, weight = expected[name]
        torch.testing.assert_close(term.value, value, msg=lambda text, name=name: f"{name}: {text}")
        assert term.weight == weight


def test_the_discriminator_sees_the_fake_without_its_graph(trainer: Trainer, batch: Batch) -> None:
    scene = scene_of(trainer.system, batch)
    sum(term.value for term in trainer.system.losses("discriminator", scene).values()).backward()
    assert all(p.grad is None for p in trainer.system.players["generator"].parameters())


def test_any_contrast_is_a_source_and_the_first_of_have_is_preferred(trainer: Trainer, batch: Batch) -> None:
    system = trainer.system
    image = batch.images[:2, :1]
    assert system.sources(["T1", "FLAIR"]) == ("FLAIR",)
    for source in NAMES:
        assert system.targets(system.sources([source])) == tuple(name for name in NAMES if name != source)
        made, _ = system.synthesize(image, [source], system.targets([source]))
        assert made.shape == (2, 3, 16, 16, 16)
    several = torch.cat([torch.zeros_like(image), image], dim=1)  # T1, which is not preferred, and T2
    torch.testing.assert_close(
        system.synthesize(several, ["T1", "T2"], ["FLAIR"])[0], system.synthesize(image, ["T2"], ["FLAIR"])[0]
    )


def test_one_source_alone_is_made_again_by_the_cycle(batch: Batch) -> None:
    system = Dai3d(replace(CONFIG, have=("T2",), want=("T1", "FLAIR")), PATCHES)
    scene = scene_of(system, batch)
    assert set(shown(scene.source, batch)) == {"T2"}
    assert set(shown(scene.real, batch)) == {"T1", "FLAIR"}
    assert scene.source_label.tolist() == [[0, 0, 1]] * 12
    assert system.targets(("T2",)) == ("T1", "FLAIR")


def test_the_ways_are_all_one_run() -> None:
    recipe = recipes.recipe("dai3d_small")
    assert list(recipes.with_ways(recipe, ("T2", "T1"), ("T1ce", "T1"))) == [""]


@pytest.mark.parametrize(
    ("changed", "data"),
    [
        ({}, DataConfig(slab=3)), ({}, DataConfig(paired=False)), ({}, PhotoConfig()),
        ({"have": ("T2",), "want": ("T2",)}, PATCHES),
    ],
)  # fmt: skip
def test_what_it_cannot_be_trained_on_is_refused(changed: dict[str, tuple[str, ...]], data: DataConfig) -> None:
    with pytest.raises(UserError, match="dai3d"):
        systems.build(replace(CONFIG, **changed), data)
