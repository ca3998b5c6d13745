"""TC-MGAN keeps the contract, and its own promises."""

from dataclasses import replace

import pytest
import torch

from polycontrast import losses, recipes, systems
from polycontrast.data.batches import Batch
from polycontrast.data.cache import Entry
from polycontrast.data.configs import AnyData, DataConfig, PatchConfig
from polycontrast.data.dataset import SliceDataset
from polycontrast.errors import UserError
from polycontrast.nets.layers import with_planes
from polycontrast.systems.base import SampleRng, Step
from polycontrast.systems.tcmgan import Scene, Tcmgan, TcmganConfig
from polycontrast.train.loop import Trainer

from .. import tiny
from .contract import CPU, SystemContract, enter, trainer_of

ALL = Step("all", ("discriminator", "generator", "segmenter"))


class TestTcmgan(SystemContract):
    recipe = replace(tiny.recipe(), name="tcmgan")
    memorised = "g_rec"
    names = {  # noqa: RUF012
        "segmenter": {"s_loss", "s_real"},
        "all": {
            *("d_loss", "d_real", "d_fake", "d_cls", "d_gp"),
            *("g_loss", "g_fake", "g_cls", "g_rec", "g_seg"),
            *("s_loss", "s_fake", "s_real"),
        },
    }
    batch_statistics = frozenset({"segmenter", "generator"})


@pytest.fixture
def batch(entries: list[Entry]) -> Batch:
    return SliceDataset(entries, tiny.recipe().data).batch(range(8))


@pytest.fixture
def trainer() -> Trainer:
    trainer = trainer_of(tiny.recipe())
    enter(trainer, trainer.phases[-1])
    return trainer


def scene_of(trainer: Trainer, batch: Batch) -> Scene:
    scene: Scene = trainer.system.draw(batch, ALL, SampleRng(0, batch.index, CPU))
    return scene


def test_the_networks_have_the_papers_numbers_of_parameters() -> None:
    recipe = recipes.recipe("tcmgan")
    with torch.device("meta"):
        system = systems.build(recipe.system, recipe.data)
    millions = {name: sum(p.numel() for p in network.parameters()) / 1e6 for name, network in system.players.items()}
    assert {name: round(m, 3) for name, m in millions.items()} == {
        "generator": 41.823, "discriminator": 11.204, "segmenter": 6.129,
    }  # fmt: skip


def test_an_edge_is_a_multiple_of_what_the_segmenter_halves_too() -> None:
    config, data = replace(tiny.recipe().system, levels=3), tiny.recipe().data
    assert systems.build(config, replace(data, size=48)).multiple == 16
    with pytest.raises(UserError, match="not a multiple of 16"):
        systems.build(config, replace(data, size=40))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (DataConfig(lesion=False), "tcmgan learns from the lesion"),
        (DataConfig(contrasts=("T1", "T2")), "tcmgan asks for what the data does not show: FLAIR, T1ce"),
        (PatchConfig(), "sees slices of volumes"),
    ],
)
def test_what_it_cannot_be_trained_on_is_refused(data: AnyData, words: str) -> None:
    with pytest.raises(UserError, match=words):
        systems.build(TcmganConfig(), data)


def test_a_step_runs_the_generator_forward_once(trainer: Trainer, batch: Batch) -> None:
    calls = dict.fromkeys(trainer.system.players, 0)
    for name, network in trainer.system.players.items():
        network.register_forward_hook(lambda *_, name=name: calls.update({name: calls[name] + 1}))
    trainer.step(batch)
    # The critic: real with fake, the penalty, the generator's turn. The segmenter: the generator's turn, its own two.
    assert calls == {"generator": 1, "discriminator": 3, "segmenter": 3}


def test_pre_training_runs_the_segmenter_alone_on_real_images(trainer: Trainer, batch: Batch) -> None:
    enter(trainer, trainer.phases[0])
    trainer.system.players["generator"].register_forward_hook(_refuse)
    trainer.system.players["discriminator"].register_forward_hook(_refuse)
    assert trainer.phase()[0].turns == ("segmenter",)
    assert set(trainer.step(batch)) == {"s_loss", "s_real"}


def test_each_sample_draws_its_target_and_its_label_says_which(trainer: Trainer, batch: Batch) -> None:
    scene = scene_of(trainer, batch)
    want, contrasts = trainer.system.want, tiny.recipe().data.contrasts
    assert torch.equal(scene.label.sum(1), torch.ones(8))
    assert len(set(scene.label.argmax(1).tolist())) > 1
    for i, plane in enumerate(scene.label.argmax(1).tolist()):
        assert torch.equal(scene.real[i], batch.images[i, contrasts.index(want[plane])])
    assert torch.equal(scene.source, batch.images[:, contrasts.index("T2")])
    assert torch.equal(scene.lesion, batch.lesion[:, :, 0])


def test_targets_are_drawn_equally_often_and_by_index_alone() -> None:
    drawn = SampleRng(0, range(3000), CPU).integers(3)
    assert torch.bincount(drawn, minlength=3).tolist() == pytest.approx([1000] * 3, rel=0.1)
    assert torch.equal(SampleRng(0, range(100, 110), CPU).integers(3), drawn[100:110])
    assert not torch.equal(SampleRng(1, range(3000), CPU).integers(3), drawn)


def test_a_label_becomes_constant_planes() -> None:
    planes = with_planes(torch.full((2, 1, 3, 4), 7.0), torch.tensor([[0, 1, 0], [1, 0, 0]]))
    assert planes.shape == (2, 4, 3, 4)
    assert torch.equal(planes[:, :, 2, 1], torch.tensor([[7.0, 0, 1, 0], [7, 1, 0, 0]]))


def test_the_losses_are_the_papers_equations(trainer: Trainer, batch: Batch) -> None:
    """Each term once more, written from the networks' own outputs; then the weighted sums."""
    scene, players = scene_of(trainer, batch), trainer.system.players
    config: TcmganConfig = tiny.recipe().system
    assert scene.fake is not None
    real = players["discriminator"](torch.cat([scene.real, scene.source], 1))
    fake = players["discriminator"](torch.cat([scene.fake, scene.source], 1))
    guess = players["segmenter"](with_planes(scene.fake, scene.label))
    mix = scene.mix.float().view(-1, 1, 1, 1)
    between = (mix * scene.real + (1 - mix) * scene.fake.detach()).requires_grad_(True)
    (slope,) = torch.autograd.grad(players["discriminator"](torch.cat([between, scene.source], 1))[0].sum(), between)
    dice = losses.dice_loss
    expected = {
        "d_real": -real[0].sum() / 8, "d_fake": fake[0].sum() / 8,
        "d_cls": losses.classification(real[1], scene.label),
        "d_gp": ((slope.flatten(1).norm(dim=1) - 1) ** 2).mean(),
        "g_fake": -fake[0].sum() / 8, "g_cls": losses.classification(fake[1], scene.label),
        "g_rec": (scene.fake - scene.real).abs().sum() / 8, "g_seg": dice(guess, scene.lesion),
        "s_fake": dice(guess, scene.lesion),
        "s_real": dice(players["segmenter"](with_planes(scene.real, scene.label)), scene.lesion),
    }  # fmt: skip
    weights = {
        "d_cls": config.cls, "d_gp": config.gp, "g_cls": config.cls, "g_rec": config.rec, "g_seg": config.seg,
        "s_fake": 0.7, "s_real": 0.3,
    }  # fmt: skip
    terms = {name: term for player in players for name, term in trainer.system.losses(player, scene).items()}
    assert set(terms) == set(expected)
    for name, term in terms.items():
        torch.testing.assert_close(term.value, expected[name], msg=lambda text, name=name: f"{name}: {text}")
        assert term.weight == weights.get(name, 1.0)


def test_the_log_shows_terms_unweighted_and_the_players_weighted_sums(trainer: Trainer, batch: Batch) -> None:
    logged = trainer.step(batch)
    assert logged["d_loss"] == pytest.approx(
        logged["d_real"] + logged["d_fake"] + logged["d_cls"] + 10 * logged["d_gp"], rel=1e-5
    )
    assert logged["g_loss"] == pytest.approx(
        logged["g_fake"] + logged["g_cls"] + logged["g_rec"] + 20 * logged["g_seg"], rel=1e-5
    )
    assert logged["s_loss"] == pytest.approx(0.7 * logged["s_fake"] + 0.3 * logged["s_real"], rel=1e-5)


def test_the_segmenter_learns_nothing_from_the_generators_turn_but_judges_it(trainer: Trainer, batch: Batch) -> None:
    """The generator's gradient has a share that comes through the segmenter."""
    gradients = []
    for seg in (0.0, 20.0):
        system = Tcmgan(replace(tiny.recipe().system, seg=seg), tiny.recipe().data)
        for name, network in system.players.items():
            network.load_state_dict(trainer.system.players[name].state_dict())
        terms = system.losses("generator", system.draw(batch, ALL, SampleRng(0, batch.index, CPU)))
        torch.stack([t.weight * t.value for t in terms.values()]).sum().backward()
        gradients.append([p.grad for p in system.players["generator"].parameters()])
    assert not all(torch.allclose(a, b) for a, b in zip(*gradients, strict=True))


def test_channels_last_changes_the_layout_and_not_the_losses(batch: Batch) -> None:
    plain = trainer_of(tiny.recipe())
    swapped = trainer_of(tiny.recipe(channels_last=("generator", "discriminator", "segmenter")))
    weight = swapped.system.players["generator"].down[1][1].weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    for trainer in (plain, swapped):
        enter(trainer, trainer.phases[-1])
    logged = swapped.step(batch)
    assert logged == pytest.approx(plain.step(batch), rel=1e-4, abs=1e-4)


def test_unexpected_extra_state_is_refused(trainer: Trainer) -> None:
    with pytest.raises(ValueError, match="pool"):
        trainer.system.load_extra_state({"pool": 1})


def _refuse(*_: object) -> None:
    raise AssertionError("this network has no turn in this phase")
