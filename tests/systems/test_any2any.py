"""any2any keeps the contract, and its own promises."""

from dataclasses import replace
from itertools import combinations
from typing import Any

import pytest
import torch
from torch import Tensor

from polycontrast import losses, recipes, systems
from polycontrast.contrasts import DEFAULT
from polycontrast.data import augment
from polycontrast.data.appearance import Appearance
from polycontrast.data.augment import Augmentation
from polycontrast.data.batches import Batch
from polycontrast.data.configs import AnyData, DataConfig, PatchConfig
from polycontrast.errors import UserError
from polycontrast.recipes import Recipe, TrainConfig
from polycontrast.systems.any2any import Any2any, Any2anyConfig, Scene
from polycontrast.systems.base import OptimiserConfig, SampleRng, Step, Term
from polycontrast.train.loop import Trainer

from .contract import CPU, SystemContract, drawn_batch, trainer_of

SUBSETS = [some for n in (1, 2, 3) for some in combinations(DEFAULT, n)]
STILL = Augmentation(flip=0, rotate=0, scale=0, shift=0, gain=0)
PLAIN = Appearance(0, 0, 0, 0, 0, 0, 0, 0)
ADAM = OptimiserConfig(((0.0, 3e-3),))
TINY = Any2anyConfig(
    widths=(12, 16), blocks=(1, 1), critic_base=4, seg_base=4, generator=ADAM,
    discriminator=OptimiserConfig(((0.0, 2e-4),)), segmenter=OptimiserConfig(((0.0, 1e-3),)),
)  # fmt: skip
DATA = DataConfig(size=32, min_area=2000.0, units="volume", slab=4, made=2, cropped=True, centred=True)
EVERYTHING: dict[str, Any] = {"adversarial": 0.1, "seg": 0.5}


def recipe_of(name: str = "any2any", data: AnyData = DATA, **system: Any) -> Recipe:
    settings = TrainConfig(batch=4, images=32, bfloat16=(), log_every=8, checkpoint_every=16, preview_every=10**9)
    return Recipe(name, replace(TINY, **system), data, settings)


class TestAny2any(SystemContract):
    recipe = recipe_of()
    memorised = "g_laplace"
    names = {"all": {"g_loss", "g_laplace", "g_ssim"}}  # noqa: RUF012
    batch_losses = frozenset({"generator"})  # its mean is by the weights of the whole batch

    def ways(self, trainer: Trainer) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return ("T2",), trainer.system.targets(("T2",))


class TestAny2anyWithAllPlayers(TestAny2any):
    recipe = recipe_of("any2any_players", replace(DATA, slab=3, made=1), beta=0.5, **EVERYTHING)
    names = {  # noqa: RUF012
        "all": {
            *("g_loss", "g_laplace", "g_ssim", "g_relative", "g_seg"),
            *("d_loss", "d_relative", "d_real_gp", "d_fake_gp"),
            *("s_loss", "s_real"),
        }
    }
    batch_statistics = frozenset({"segmenter"})
    idle = frozenset(f"scales.{i}.8.bias" for i in range(2))  # of the last convolutions: a relativistic critic's cancel


def built(data: AnyData = DATA, **system: Any) -> Any2any:
    made = trainer_of(recipe_of(data=data, **system)).system
    assert isinstance(made, Any2any)
    return made


def samples(n: int = 4, data: DataConfig = DATA) -> Batch:
    """Noise, in a mask that leaves the edges out."""
    recipe = recipe_of(data=data)
    batch = drawn_batch(replace(recipe, train=replace(recipe.train, batch=n)), 0, torch.float32)
    batch.mask[..., :3, :] = False
    return replace(batch, images=torch.where(batch.mask, batch.images, -1.0), lesion=batch.lesion & batch.mask)


def drawn(system: Any2any, batch: Batch) -> Scene:
    return system.draw(batch, Step("all", tuple(system.players)), SampleRng(0, batch.index, CPU))


def given_names(scene: Scene) -> list[tuple[str, ...]]:
    return [tuple(n for n, there in zip(DEFAULT, row, strict=True) if there) for row in scene.given.tolist()]


@pytest.mark.parametrize("given", SUBSETS)
def test_of_any_subset_it_makes_all_others_with_a_scale(given: tuple[str, ...]) -> None:
    system = built()
    assert system.sources(given[::-1]) == given
    want = system.targets(given)
    assert sorted((*given, *want)) == sorted(DEFAULT)
    images = samples(2).images[:, [DEFAULT.index(name) for name in given]]
    made, scale = system.synthesize(images, given, want)
    assert scale is not None
    assert made.shape == scale.shape == (2, len(want), 2, 32, 32)
    assert (scale > 0).all()


def test_what_is_given_is_known_by_name_whatever_its_order() -> None:
    system, images = built(), samples(2).images[:, :2]
    straight, _ = system.synthesize(images, ("T1", "T1ce"), ("FLAIR",))
    assert torch.equal(system.synthesize(images.flip(1), ("T1ce", "T1"), ("FLAIR",))[0], straight)
    assert not torch.equal(system.synthesize(images.flip(1), ("T1", "T1ce"), ("FLAIR",))[0], straight)


def test_a_contrast_that_is_there_but_empty_is_not_one_that_is_absent() -> None:
    system, images = built(), samples(2).images[:, :1]
    alone, _ = system.synthesize(images, ("T1",), ("FLAIR",))
    empty = torch.cat([images, torch.full_like(images, -1)], dim=1)
    assert not torch.allclose(system.synthesize(empty, ("T1", "T2"), ("FLAIR",))[0], alone)


def test_a_system_without_any_contrast_it_knows_says_that_any_of_them_would_do() -> None:
    with pytest.raises(UserError, match="needs T1 or T1ce or T2 or FLAIR, found PD"):
        built().sources(("PD",))


def test_what_is_not_given_has_no_influence_in_training() -> None:
    """Garbage in its place changes neither what is made nor any loss of what is made of the others."""
    system, batch = built(favoured=("T1", "T2"), favoured_share=1.0), samples()
    garbage = batch.images.clone()
    garbage[:, [DEFAULT.index("T1ce"), DEFAULT.index("FLAIR")]] = 7.0
    clean, spoilt = (drawn(system, replace(batch, images=images)) for images in (batch.images, garbage))
    assert torch.equal(clean.mean, spoilt.mean)
    assert torch.equal(clean.log_scale, spoilt.log_scale)
    assert not torch.equal(clean.real, spoilt.real)


def test_a_given_contrast_is_never_in_the_loss_and_stays_real_in_what_the_patient_then_has() -> None:
    system, batch = built(**EVERYTHING), samples(8)
    scene = drawn(system, batch)
    known = scene.given.view(8, 4, 1, 1, 1).expand_as(scene.weight)
    assert known.any()
    assert not scene.weight[known].any()
    assert torch.equal(scene.completed[known], scene.real[known])
    slope_of_mean, slope_of_scale = torch.autograd.grad(weighted_sum(system, scene), (scene.mean, scene.log_scale))
    assert slope_of_mean[~known].any()
    assert not slope_of_mean[known].any()
    assert not slope_of_scale[known].any()


def test_what_is_to_be_made_is_completed_by_what_is_made_in_the_brain_alone() -> None:
    scene = drawn(built(augmentation=STILL), samples(8))
    made = scene.weight > 0
    assert torch.equal(scene.completed[made], scene.mean[made])
    assert torch.equal(scene.completed[~made], scene.real[~made])
    assert not scene.completed[..., 0, :].any()


def test_the_subsets_are_drawn_as_configured() -> None:
    favoured = built(favoured=("T1", "T2"), favoured_share=1.0)
    assert given_names(drawn(favoured, samples(6))) == [("T1", "T2")] * 6
    assert favoured.usual == ("T1", "T2")
    some = given_names(drawn(built(favoured=(), favoured_share=1.0), samples(12)))
    assert set(some) <= set(SUBSETS)
    assert len(set(some)) > 4


def test_what_a_sample_is_given_depends_on_its_index_alone() -> None:
    system, batch = built(), samples(6)
    whole = drawn(system, batch)
    part = drawn(system, replace(batch.map(lambda x: x[4:]), index=batch.index[4:]))
    for name in ("given", "source", "real", "weight"):
        assert torch.equal(getattr(part, name), getattr(whole, name)[4:]), name


def test_appearance_varies_what_is_given_and_never_what_is_to_be_made() -> None:
    system, batch = built(), samples(8)
    scene = drawn(system, batch)
    rng = SampleRng(0, batch.index, CPU)
    moves = rng.each(lambda stream: augment.sample(system.config.augmentation, 4, stream))
    truth, mask, _ = augment.apply_all(moves, (batch.images + 1) / 2, batch.mask, batch.lesion)
    assert torch.equal(scene.real, truth[:, :, 1:3])
    given = scene.given.view(8, 4, 1, 1, 1) & mask[:, :, 1:3]
    assert not torch.isclose(scene.source[given], scene.real[given], atol=1e-3).all()
    assert not scene.source[~given.expand_as(scene.source)].any()


def test_without_augmentation_it_is_shown_the_middle_of_the_slab() -> None:
    batch = samples()
    scene = drawn(built(augmentation=STILL, appearance=PLAIN), batch)
    shown = (batch.images[:, :, 1:3] + 1) / 2
    torch.testing.assert_close(scene.real, shown, atol=1e-5, rtol=0)
    torch.testing.assert_close(scene.source, shown * scene.given.view(4, 4, 1, 1, 1), atol=1e-5, rtol=0)
    assert torch.equal(scene.lesion, batch.lesion[:, 0, 1:3])


def test_voxels_of_the_lesion_weigh_more_and_background_nothing() -> None:
    batch = samples()
    scene = drawn(built(augmentation=STILL, lesion=3.0), batch)
    lesion, mask = batch.lesion[:, :, 1:3], batch.mask[:, :, 1:3]
    expected = mask * (1 + 3.0 * lesion) * ~scene.given.view(4, 4, 1, 1, 1)
    assert torch.equal(scene.weight, expected)
    assert set(scene.weight.unique().tolist()) == {0.0, 1.0, 4.0}


@pytest.mark.parametrize(
    ("changed", "players", "terms"),
    [
        ({}, {"generator"}, {"g_laplace", "g_ssim"}),
        ({"ssim": 0.0}, {"generator"}, {"g_laplace"}),
        ({"adversarial": 0.1}, {"generator", "discriminator"}, {"g_laplace", "g_ssim", "g_relative"}),
        ({"seg": 0.1}, {"generator", "segmenter"}, {"g_laplace", "g_ssim", "g_seg"}),
    ],
)
def test_a_term_of_weight_zero_is_not_computed_and_its_player_does_not_exist(
    changed: dict[str, float], players: set[str], terms: set[str]
) -> None:
    system = built(**changed)
    assert set(system.players) == set(system.optimisers) == players
    assert set(system.phases(8)[0].turns) == players
    assert set(system.losses("generator", drawn(system, samples()))) == terms


def test_the_losses_are_the_equations() -> None:
    """Each term once more, written from the networks' own outputs."""
    system = built(beta=0.5, **EVERYTHING)
    scene = drawn(system, samples())
    mean, b, real, w = scene.mean, scene.log_scale.exp(), scene.real, scene.weight
    likelihood = (real - mean).abs() / b + (2 * b).log()
    planes = scene.given.float().view(4, 4, 1, 1).expand(-1, -1, 32, 32)
    told = torch.cat([scene.source.flatten(1, 2), planes], 1)
    on_real, on_fake = (
        system.players["discriminator"](torch.cat([x.flatten(1, 2), told], 1)) for x in (real, scene.completed)
    )

    def above(higher: Tensor, lower: Tensor) -> Tensor:
        return torch.stack([torch.log1p((h - s).exp()).mean() for h, s in zip(higher, lower, strict=True)]).mean()

    def dice(images: Tensor) -> Tensor:
        slices = images.transpose(1, 2).reshape(8, 4, 32, 32)
        return losses.dice_loss(system.players["segmenter"](slices), scene.lesion.reshape(8, 1, 32, 32))

    expected = {
        "g_laplace": ((likelihood * b**0.5 * w).sum() / w.sum(), 1.0),
        "g_ssim": (losses.ssim_loss(mean, real, w), 0.2),
        "g_relative": (above(on_real, on_fake), 0.1),
        "g_seg": (dice(scene.completed), 0.5),
        "d_relative": (above(on_fake, on_real), 1.0),
        "s_real": (dice(real), 1.0),
    }
    terms = {name: term for player in system.players for name, term in system.losses(player, scene).items()}
    assert set(terms) == {*expected, "d_real_gp", "d_fake_gp"}
    for name, (value, weight) in expected.items():
        torch.testing.assert_close(terms[name].value, value, msg=lambda text, name=name: f"{name}: {text}")
        assert terms[name].weight == weight
    assert terms["d_real_gp"].weight == terms["d_fake_gp"].weight == 0.5


def test_the_critic_and_the_segmenter_send_the_generator_no_gradient_in_their_own_turns() -> None:
    system = built(**EVERYTHING)
    scene = drawn(system, samples())
    for player in ("discriminator", "segmenter"):
        weighted_sum(system, scene, player).backward()
    assert all(p.grad is None for p in system.players["generator"].parameters())


@pytest.mark.parametrize(
    ("changed", "data", "words"),
    [
        ({}, replace(DATA, paired=False), "every contrast of the same place"),
        ({}, replace(DATA, units="slice-max"), "in normalised units"),
        ({}, replace(DATA, labels=(DEFAULT,)), "learns from slabs"),
        ({}, PatchConfig(), "learns from slabs"),
        ({}, replace(DATA, augmentation=Augmentation()), "moves its images itself"),
        ({"augmentation": Augmentation(gain=0.5)}, DATA, "moves its images itself"),
        ({"widths": (8, 8), "blocks": (1,)}, DATA, "2 widths and 1 blocks"),
        ({"widths": (), "blocks": ()}, DATA, "0 widths and 0 blocks"),
        ({}, replace(DATA, made=1), "of slabs of 4 slices 1 cannot be made"),
        ({}, replace(DATA, made=6), "of slabs of 4 slices 6 cannot be made"),
        ({}, replace(DATA, made=0), "of slabs of 4 slices 0 cannot be made"),
        ({"seg": 0.1}, replace(DATA, lesion=False), "seg asks for lesions"),
        ({"adversarial": 0.1}, replace(DATA, size=16), "too small for the discriminator of any2any"),
        ({"seg": 0.1}, replace(DATA, size=40), "not a multiple of 16"),
        ({"have": ("T1", "PD"), "favoured": ("T1",)}, DATA, "any2any asks for what the data does not show: PD"),
        ({"favoured": ("T2",), "have": ("T1", "T1ce")}, DATA, "any2any is left nothing to make of T2"),
        ({"favoured": DEFAULT}, DATA, "any2any is left nothing to make of T1, T1ce, T2, FLAIR"),
        ({"favoured": ("T2",), "want": ("T2",)}, DATA, "any2any is left nothing to make of T2"),
        ({"favoured": (), "have": ("T2",), "want": ("T2",)}, DATA, "any2any is left nothing to make of T2"),
    ],
)
def test_what_it_cannot_learn_from_is_refused_in_words(changed: dict[str, Any], data: AnyData, words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        systems.build(replace(TINY, **changed), data)
    assert caught.value.hint


def test_of_fewer_contrasts_it_learns_what_they_allow() -> None:
    recipe = recipes.with_ways(recipe_of(favoured=("T1",)), ("T1", "T2"), ("T2", "FLAIR"))[""]
    assert recipe.data.contrasts == ("T1", "T2", "FLAIR")
    system = trainer_of(recipe).system
    assert system.targets(("T1",)) == ("T2", "FLAIR")
    assert system.targets(("T1", "T2")) == ("FLAIR",)
    assert set(trainer_of(recipe).step(drawn_batch(recipe, 0, torch.float32))) == {"g_loss", "g_laplace", "g_ssim"}


@pytest.mark.parametrize(
    ("have", "want", "usual"),
    [(("T1", "FLAIR"), ("T1ce",), ("T1", "FLAIR")), (("T1", "T2"), ("T2",), ("T1",)), (("T1",), ("FLAIR",), ("T1",))],
)
def test_a_favoured_subset_that_other_contrasts_rule_out_is_left_out(
    have: tuple[str, ...], want: tuple[str, ...], usual: tuple[str, ...]
) -> None:
    system = trainer_of(recipes.with_ways(recipe_of(), have, want)[""]).system
    assert system.usual == usual  # pictures of the training show that something is made


def test_its_rate_rises_then_falls_to_zero() -> None:
    optimiser = recipes.recipe("any2any").system.generator
    rates = [optimiser.rate(f) for f in (0.0, 0.02, 0.25, 0.5, 0.75, 1.0)]
    assert rates[0] < rates[1] == pytest.approx(1e-3)
    assert rates[1:] == sorted(rates[1:], reverse=True)
    assert rates[-1] == 0


def weighted_sum(system: Any2any, scene: Scene, player: str = "generator") -> Tensor:
    terms: dict[str, Term] = system.losses(player, scene)
    return torch.stack([t.weight * t.value for t in terms.values()]).sum()
