"""What every system must hold to. A system's test inherits `SystemContract` and names its tiny recipe and its facts."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from polycontrast import recipes, runs, systems
from polycontrast.data.cache import Entry
from polycontrast.data.dataset import Batch, SliceDataset
from polycontrast.recipes import Recipe
from polycontrast.systems.base import Phase, SampleRng, System
from polycontrast.train import checkpoint
from polycontrast.train.distributed import Ranks
from polycontrast.train.log import Log
from polycontrast.train.loop import Trainer, others_frozen

CPU = torch.device("cpu")


def trainer_of(recipe: Recipe) -> Trainer:
    return Trainer(recipes.with_length(recipe, 10), CPU, Ranks())


def enter(trainer: Trainer, phase: Phase) -> None:
    """Set the clock to the beginning of a phase."""
    before = trainer.phases[: trainer.phases.index(phase)]
    trainer.clock.images = sum(p.images for p in before)


def fill(system: System, seed: int) -> None:
    """Weights that are the same on every machine: torch's own draws may differ in the last bits."""
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for network in system.players.values():
            for parameter in network.parameters():
                parameter.copy_(torch.from_numpy(rng.normal(0, 0.05, tuple(parameter.shape))))


def drawn_batch(recipe: Recipe, first: int, dtype: torch.dtype = torch.float64) -> Batch:
    """Noise in the shape of a batch, the same on every machine."""
    size, data = recipe.train.batch, recipe.data
    rng = np.random.default_rng((9, first))
    images = rng.uniform(-1, 1, (size, len(data.contrasts), data.slab, data.size, data.size))
    lesion = rng.random((size, 1, data.slab, data.size, data.size)) < 0.2
    return Batch(
        torch.from_numpy(images).to(dtype),
        torch.ones(images.shape[:2], dtype=torch.bool),
        torch.ones(lesion.shape, dtype=torch.bool),
        torch.from_numpy(lesion),
        tuple(range(first, first + size)),
    )


class SystemContract:
    """recipe: a tiny one. memorised: the term that falls on one slice seen again and again.

    names: what the log of a step shows, per phase. golden: the named terms of three steps per phase in float64, from
    weights and images that numpy draws; they change only when the mathematics does.
    """

    recipe: Recipe
    memorised: str
    names: dict[str, set[str]]
    golden: dict[str, Sequence[float]]

    @pytest.fixture
    def trainer(self) -> Trainer:
        return trainer_of(self.recipe)

    @pytest.fixture
    def batch(self, entries: list[Entry]) -> Batch:
        return SliceDataset(entries, self.recipe.data).batch(range(self.recipe.train.batch))

    @pytest.fixture
    def one_thread(self) -> Iterator[None]:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        yield
        torch.set_num_threads(threads)

    def sources(self, trainer: Trainer, batch: Batch) -> Tensor:
        """[B, have, K, H, W] of the batch."""
        return batch.images[:, [self.recipe.data.contrasts.index(c) for c in trainer.system.have]]

    def test_it_is_built_by_its_name(self, trainer: Trainer) -> None:
        system = trainer.system
        assert isinstance(system, systems.SYSTEMS[self.recipe.system.name])
        assert set(system.players) == set(system.optimisers)
        assert set(system.synthesizers) <= set(system.players)
        assert all(o.schedule[0][0] == 0 for o in system.optimisers.values())

    def test_its_phases_name_players_and_last_as_long_as_the_training(self, trainer: Trainer) -> None:
        phases = trainer.system.phases(1000)
        assert phases[-1].images == 1000
        assert {player for phase in phases for player in phase.turns} == set(trainer.system.players)

    def test_a_step_logs_every_term_by_its_name(self, trainer: Trainer, batch: Batch) -> None:
        for phase in trainer.phases:
            enter(trainer, phase)
            assert set(trainer.step(batch)) == self.names[phase.name]

    def test_a_player_moves_only_in_its_own_turn_and_no_other_collects_gradients(
        self, trainer: Trainer, batch: Batch
    ) -> None:
        players = trainer.system.players
        for phase in trainer.phases:
            scene = trainer.system.draw(batch, phase.name, rng_of(trainer, batch))
            for player in phase.turns:
                before = {n: [p.detach().clone() for p in network.parameters()] for n, network in players.items()}
                for network in players.values():
                    network.zero_grad(set_to_none=True)
                trainer._turn(player, scene, 0.0)
                for name, network in players.items():
                    moved = [not torch.equal(p, b) for p, b in zip(network.parameters(), before[name], strict=True)]
                    collected = [p.grad is not None for p in network.parameters()]
                    assert (all(moved) and all(collected)) if name == player else not (any(moved) or any(collected))

    def test_it_stays_finite(self, trainer: Trainer, batch: Batch) -> None:
        enter(trainer, trainer.phases[-1])
        for _ in range(5):
            assert np.isfinite(list(trainer.step(batch).values())).all()
        made, _ = trainer.system.synthesize(self.sources(trainer, batch), trainer.system.have, trainer.system.want)
        assert made.isfinite().all()

    def test_it_synthesizes_what_is_wanted_in_the_order_wanted(self, trainer: Trainer, batch: Batch) -> None:
        system, images = trainer.system, self.sources(trainer, batch)
        made, scale = system.synthesize(images, system.have, system.want)
        assert made.shape == (len(images), len(system.want), 1, *images.shape[-2:])
        assert not made.requires_grad
        assert scale is None or scale.shape == made.shape
        turned, _ = system.synthesize(images, system.have, system.want[::-1])
        assert torch.equal(turned, made.flip(1))

    def test_what_is_wanted_changes_what_is_made(self, trainer: Trainer, batch: Batch) -> None:
        system = trainer.system
        made, _ = system.synthesize(self.sources(trainer, batch), system.have, system.want)
        for i in range(1, len(system.want)):
            assert not torch.allclose(made[:, 0], made[:, i], atol=1e-6)

    def test_a_slice_is_synthesized_alike_in_any_company(self, trainer: Trainer, batch: Batch) -> None:
        system, images = trainer.system, self.sources(trainer, batch)
        together, _ = system.synthesize(images, system.have, system.want)
        alone, _ = system.synthesize(images[:1], system.have, system.want)
        torch.testing.assert_close(alone, together[:1], atol=1e-5, rtol=1e-5)

    def test_it_memorises_one_slice(self, trainer: Trainer, entries: list[Entry]) -> None:
        batch = SliceDataset(entries, self.recipe.data).batch([0] * 2)
        enter(trainer, trainer.phases[-1])
        terms = []
        for _ in range(40):
            terms.append(trainer.step(batch)[self.memorised])
            enter(trainer, trainer.phases[-1])  # at the first learning rate
        assert terms[-1] < 0.5 * terms[0]

    def test_saved_weights_synthesize_the_same(self, trainer: Trainer, batch: Batch, tmp_path: Path) -> None:
        images, system = self.sources(trainer, batch), trainer.system
        trainer.step(batch)
        trainer.save(tmp_path, Log(tmp_path))
        weights, _ = runs.load_weights(tmp_path)
        other = systems.build(self.recipe.system, self.recipe.data)
        for name in other.synthesizers:
            own = {k.removeprefix(f"{name}."): v for k, v in weights.items() if k.startswith(f"{name}.")}
            other.players[name].load_state_dict(own)
        first, second = (s.synthesize(images, system.have, system.want)[0] for s in (system, other))
        assert torch.equal(first, second)

    def test_a_restored_trainer_goes_on_as_the_first_would(
        self, trainer: Trainer, batch: Batch, tmp_path: Path
    ) -> None:
        enter(trainer, trainer.phases[-1])
        trainer.step(batch)
        trainer.save(tmp_path, Log(tmp_path))
        other = trainer_of(replace(self.recipe, train=replace(self.recipe.train, seed=self.recipe.train.seed + 1)))
        other.recipe = trainer.recipe
        other.load(tmp_path, Log(tmp_path))
        assert asdict(other.clock) == asdict(trainer.clock)
        assert other.step(batch) == trainer.step(batch)
        for name, network in trainer.system.players.items():
            for key, value in network.state_dict().items():
                assert torch.equal(value, other.system.players[name].state_dict()[key]), f"{name}.{key}"
        assert checkpoint.load_state(tmp_path, CPU)[1]["images"] == trainer.clock.images - self.recipe.train.batch

    def test_its_extra_state_comes_back(self, trainer: Trainer, batch: Batch) -> None:
        trainer.step(batch)
        state = trainer.system.extra_state()
        trainer.system.load_extra_state(state)
        assert trainer.system.extra_state() == state

    def test_bfloat16_gives_losses_of_the_same_size_in_float32(self, trainer: Trainer, batch: Batch) -> None:
        plain = trainer.step(batch)
        rough = trainer_of(
            replace(self.recipe, train=replace(self.recipe.train, bfloat16=tuple(trainer.system.players)))
        )
        scene = rough.system.draw(batch, rough.phases[0].name, rng_of(rough, batch))
        for player in rough.phases[0].turns:
            with others_frozen(rough.system, player):
                terms = rough.system.losses(player, scene)
            assert {t.value.dtype for t in terms.values()} == {torch.float32}
        for name, value in rough.step(batch).items():
            assert value == pytest.approx(plain[name], rel=0.05, abs=0.05)

    @pytest.mark.usefixtures("one_thread")
    def test_the_losses_of_its_first_steps_are_the_golden_ones(self, trainer: Trainer) -> None:
        found = golden_losses(trainer, self.recipe)
        assert set(found) == set(self.golden)
        for name, values in self.golden.items():
            assert found[name] == pytest.approx(values, rel=1e-6, abs=1e-9), name


def golden_losses(trainer: Trainer, recipe: Recipe) -> dict[str, list[float]]:
    """`<phase>/<term>` of three steps of every phase, in float64."""
    fill(trainer.system, seed=1)
    for network in trainer.system.players.values():
        network.double()
    found: dict[str, list[float]] = {}
    for phase in trainer.phases:
        for step in range(3):
            enter(trainer, phase)
            terms = trainer.step(drawn_batch(recipe, first=step * recipe.train.batch))
            for name, value in terms.items():
                found.setdefault(f"{phase.name}/{name}", []).append(value)
    return found


def rng_of(trainer: Trainer, batch: Batch) -> SampleRng:
    return SampleRng(trainer.recipe.train.seed, batch.index, CPU)
