"""UNIT keeps the contract, and its own promises."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from polycontrast import recipes, runs, systems
from polycontrast.data.batches import Batch
from polycontrast.data.cache import Entry
from polycontrast.data.configs import DataConfig
from polycontrast.data.dataset import SliceDataset
from polycontrast.errors import UserError
from polycontrast.recipes import Recipe
from polycontrast.systems.base import OptimiserConfig, SampleRng, Step
from polycontrast.systems.unit import Scene, Unit, UnitConfig
from polycontrast.train.log import Log
from polycontrast.train.loop import Trainer

from .. import tiny
from ..models import make_run
from .contract import CPU, SystemContract, trainer_of

ALL = Step("all", ("discriminator", "generator"))
SHARED = ("shared_encoder.", "shared_decoder.")


def recipe_of(tied: bool = True) -> Recipe:
    adam = OptimiserConfig(((0.0, 2e-3), (0.5, 1e-3)), betas=(0.5, 0.999), weight_decay=1e-4)
    config = UnitConfig(
        tied=tied, blocks=2, base=4, critic_levels=2, critic_base=4, tanh=False, generator=adam,
        discriminator=replace(adam, schedule=((0.0, 1e-4),)),
    )  # fmt: skip
    data = DataConfig(contrasts=("T1", "T2"), size=32, units="volume", lesion=False, paired=False)
    return Recipe("unit", config, data, replace(tiny.recipe().train, batch=2))


class TestUnit(SystemContract):
    recipe = recipe_of()
    memorised = "g_rec_a"
    names = {  # noqa: RUF012
        "all": {
            *("d_loss", "d_a", "d_b", "g_loss"),
            *(f"g_{term}_{domain}" for term in ("gan", "rec", "kl", "cyc", "cyc_kl") for domain in "ab"),
        },
    }


@pytest.fixture
def batch(entries: list[Entry]) -> Batch:
    return SliceDataset(entries, recipe_of().data).batch(range(2))


@pytest.fixture
def trainer() -> Trainer:
    return trainer_of(recipe_of())


def scene_of(trainer: Trainer, batch: Batch, seed: int = 0) -> Scene:
    scene: Scene = trainer.system.draw(batch, ALL, SampleRng(seed, batch.index, CPU))
    return scene


def test_the_two_sides_of_a_sample_are_no_pair(entries: list[Entry]) -> None:
    dataset = SliceDataset(entries, recipe_of().data)
    assert any(dataset.place(i, 0) != dataset.place(i, 1) for i in range(8))


def test_every_term_is_the_papers_equation(trainer: Trainer, batch: Batch) -> None:
    """Re-derived from the networks alone; the noise is what the sample's stream gives."""
    scene, g, d = scene_of(trainer, batch), *(trainer.system.players[p] for p in ("generator", "discriminator"))
    for parameter in d.parameters():  # wide enough apart for scores of real and fake to tell which is which
        torch.nn.init.normal_(parameter, 0.0, 0.3)
    streams = [np.random.default_rng((0, 3, i)) for i in batch.index]
    x = {"a": batch.images[:, 1], "b": batch.images[:, 0]}  # T2 is given, T1 is made

    def encode(image: Tensor, domain: str) -> Tensor:
        mean: Tensor = g.shared_encoder(g.get_submodule(f"encoder_{domain}")(image))
        return mean

    def decode(code: Tensor, domain: str) -> Tensor:
        image: Tensor = g.get_submodule(f"decoder_{domain}")(g.shared_decoder(code))
        return image

    def normal(like: Tensor) -> Tensor:
        return torch.from_numpy(np.stack([s.standard_normal(like.shape[1:]) for s in streams])).float()

    def squares(scores: tuple[Tensor, ...], wanted: float) -> Tensor:
        return sum((((s - wanted) ** 2).mean() for s in scores), torch.zeros(()))

    expected, fakes = {}, {}
    for own, other in ("ab", "ba"):
        mean = encode(x[own], own)
        z = mean + normal(mean)
        fakes[other] = decode(z, other)
        again = encode(fakes[other], other)
        expected |= {
            f"g_gan_{other}": squares(d[other](fakes[other]), 1),
            f"g_rec_{own}": (decode(z, own) - x[own]).abs().mean(),
            f"g_kl_{own}": (mean**2).mean(),
            f"g_cyc_{own}": (decode(again + normal(mean), own) - x[own]).abs().mean(),
            f"g_cyc_kl_{own}": (again**2).mean(),
        }
    for domain in "ab":
        expected[f"d_{domain}"] = squares(d[domain](x[domain]), 1) + squares(d[domain](fakes[domain]), 0)
    terms = {k: t for player in ALL.turns for k, t in trainer.system.losses(player, scene).items()}
    assert set(terms) == set(expected)
    weights = {"rec": 10.0, "kl": 0.01, "cyc": 10.0, "cyc_kl": 0.01}
    for name, term in terms.items():
        torch.testing.assert_close(term.value, expected[name], msg=lambda text, name=name: f"{name}: {text}")
        assert term.weight == weights.get(name[2:-2], 1.0)


def test_the_kl_is_the_divergence_of_the_posterior_from_the_prior(trainer: Trainer, batch: Batch) -> None:
    """The logged mean of squares is twice the divergence, per element of the latent."""
    mean = scene_of(trainer, batch)["a"].mean.detach()
    posterior, prior = torch.distributions.Normal(mean, 1.0), torch.distributions.Normal(0.0, 1.0)
    divergence = torch.distributions.kl_divergence(posterior, prior).mean()
    logged = trainer.system.losses("generator", scene_of(trainer, batch))["g_kl_a"].value
    torch.testing.assert_close(logged, 2 * divergence)


def test_noise_is_drawn_in_training_and_not_in_synthesis(trainer: Trainer, batch: Batch) -> None:
    first, second = (scene_of(trainer, batch, seed) for seed in (0, 1))
    assert torch.equal(first["a"].mean, second["a"].mean)
    assert not torch.allclose(first["a"].translated, second["a"].translated)
    assert (first["a"].code - first["a"].mean).std().item() == pytest.approx(1, abs=0.1)
    assert not torch.allclose(first["a"].code - first["a"].mean, first["a"].noise)
    system, images = trainer.system, batch.images[:, [1]]
    made, scale = system.synthesize(images, ("T2",), ("T1",))
    g = system.players["generator"]
    expected = g.decoder_b(g.shared_decoder(g.shared_encoder(g.encoder_a(images[:, 0]))))
    torch.testing.assert_close(made[:, 0], expected)
    assert scale is None


def test_tied_blocks_get_gradients_from_both_domains(trainer: Trainer, batch: Batch) -> None:
    network = trainer.system.players["generator"]
    shared = [p for name, p in network.named_parameters() if name.startswith(SHARED)]
    assert shared
    for domain in "ab":
        network.zero_grad()
        terms = trainer.system.losses("generator", scene_of(trainer, batch))
        terms[f"g_rec_{domain}"].value.backward()
        assert all(p.grad is not None and p.grad.any() for p in shared)
        other = {"a": "b", "b": "a"}[domain]
        private = [p for name, p in network.named_parameters() if f"er_{other}." in name]
        assert private
        assert all(p.grad is None for p in private)


def test_untied_domains_have_blocks_of_their_own(batch: Batch) -> None:
    tied, untied = (trainer_of(recipe_of(tied)).system.players["generator"] for tied in (True, False))
    assert not [name for name in untied.state_dict() if name.startswith(SHARED)]
    for part in ("encoder_a", "encoder_b", "decoder_a", "decoder_b"):
        assert len(untied.get_submodule(part)) == len(tied.get_submodule(part)) + 1
    logged = trainer_of(recipe_of(tied=False)).step(batch)
    assert np.isfinite(list(logged.values())).all()


def test_one_optimiser_moves_both_domains(trainer: Trainer, batch: Batch) -> None:
    assert list(trainer.system.players) == list(ALL.turns)
    network = trainer.system.players["discriminator"]
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    trainer.step(batch)
    assert {name[0] for name, p in network.named_parameters() if not torch.equal(p, before[name])} == {"a", "b"}


def test_three_scales_are_seen_in_each_domain(trainer: Trainer, batch: Batch) -> None:
    seen: dict[str, list[int]] = {"a": [], "b": []}
    for domain, critic in trainer.system.players["discriminator"].items():
        for judge in critic.scales:
            judge.register_forward_pre_hook(lambda _, x, domain=domain: seen[domain].append(x[0].shape[-1]))
    trainer.system.losses("discriminator", scene_of(trainer, batch))
    assert seen == {"a": [32, 16, 8], "b": [32, 16, 8]}


def test_the_discriminators_turn_reaches_no_generator(trainer: Trainer, batch: Batch) -> None:
    terms = trainer.system.losses("discriminator", scene_of(trainer, batch))
    torch.stack([t.value for t in terms.values()]).sum().backward()
    assert all(p.grad is None for p in trainer.system.players["generator"].parameters())


def test_a_checkpoint_holds_each_tied_tensor_once_and_reloads(trainer: Trainer, batch: Batch, tmp_path: Path) -> None:
    trainer.step(batch)
    trainer.save(tmp_path, Log(tmp_path))
    weights, _ = runs.load_weights(tmp_path)
    names = [name.removeprefix("generator.") for name in weights]
    assert sorted(names) == sorted(name for name, _ in trainer.system.players["generator"].named_parameters())
    assert sum(name.startswith("shared_encoder.") for name in names) == 4  # two convolutions, weight and bias
    other = trainer_of(recipe_of())
    other.load(tmp_path, Log(tmp_path))
    assert other.step(batch) == trainer.step(batch)


def test_a_run_folder_of_it_is_read_back(tmp_path: Path) -> None:
    run = make_run(tmp_path, recipe_of())
    read = runs.read_config(run)
    assert read.recipe == recipe_of()
    system, (weights, _) = systems.build(read.recipe.system, read.recipe.data), runs.load_weights(run)
    own = {name.removeprefix("generator."): value for name, value in weights.items()}
    system.players["generator"].load_state_dict(own)


@pytest.mark.parametrize(
    ("config", "data", "word"),
    [
        (recipe_of().system, replace(recipe_of().data, paired=True), "not paired"),
        (recipe_of().system, replace(recipe_of().data, slab=3), "slabs of 3"),
        (replace(recipe_of().system, want=("T1", "FLAIR")), recipe_of().data, "T1, FLAIR"),
        (replace(recipe_of().system, critic_levels=4), recipe_of().data, "32 pixels.* needs 64"),
    ],
)
def test_what_it_cannot_be_given_is_refused_in_words(config: UnitConfig, data: DataConfig, word: str) -> None:
    with pytest.raises(UserError) as caught:
        Unit(config, data)
    assert "unit" in caught.value.message
    assert re.search(word, caught.value.message)


def test_several_wanted_contrasts_make_a_set_of_runs() -> None:
    ways = recipes.with_ways(recipes.recipe("unit_small"), None, ("T1", "FLAIR"))
    assert {name: r.system.want for name, r in ways.items()} == {"t2_to_t1": ("T1",), "t2_to_flair": ("FLAIR",)}
    assert not any(r.data.paired for r in ways.values())


@pytest.mark.parametrize("name", ["unit", "unit_mr", "unit_small"])
def test_its_recipes_build_and_never_see_a_pair(name: str) -> None:
    recipe = recipes.recipe(name)
    with torch.device("meta"):
        system = systems.build(recipe.system, recipe.data)
    assert not recipe.data.paired
    assert len(system.players["discriminator"]["a"].scales) == 3


def test_the_published_recipe_has_the_published_sizes_weights_and_schedule() -> None:
    recipe = recipes.recipe("unit")
    with torch.device("meta"):
        system = systems.build(recipe.system, recipe.data)
    counts = {name: sum(p.numel() for p in network.parameters()) for name, network in system.players.items()}
    assert counts == {"generator": 19_920_646, "discriminator": 16_542_342}
    assert (recipe.train.batch, recipe.train.images) == (1, 1_000_000)
    for adam in system.optimisers.values():
        assert (adam.betas, adam.weight_decay) == ((0.5, 0.999), 1e-4)
        rates = [adam.rate(step / 1_000_000) for step in (0, 99_999, 100_000, 250_000, 999_999)]
        assert rates == pytest.approx([1e-4, 1e-4, 5e-5, 2.5e-5, 1e-4 / 512])
