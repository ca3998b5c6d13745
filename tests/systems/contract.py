"""What every system must hold to. A system's test inherits `SystemContract` and names its tiny recipe and its facts."""

import copy
import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from polycontrast import recipes, runs, systems
from polycontrast.data import open_dataset
from polycontrast.data.batches import Batch, Dataset
from polycontrast.data.cache import Entry
from polycontrast.data.configs import DataConfig
from polycontrast.errors import UserError
from polycontrast.infer.workers import each_alone
from polycontrast.recipes import Recipe
from polycontrast.systems.base import Phase, SampleRng, Step, System
from polycontrast.train import checkpoint
from polycontrast.train.distributed import Ranks
from polycontrast.train.log import Log
from polycontrast.train.loop import Trainer, others_frozen

from .. import tiny
from . import ranks, run_ranks

CPU = torch.device("cpu")
GOLDEN = Path(__file__).with_name("golden")
RANK_STEP = Path(run_ranks.__file__)


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
    """Noise in the shape of a batch, the same on every machine; the label sets take turns, batch by batch."""
    size, data = recipe.train.batch, recipe.data
    sets = data.labels
    rng = np.random.default_rng((9, first))
    edges = [data.size] * 3 if data.dims == 3 else [data.channels, data.size, data.size]
    images = rng.uniform(-1, 1, (size, 1 if sets else len(data.contrasts), *edges))
    lesion = torch.from_numpy(rng.random((size, 1, *edges)) < 0.2)
    told: dict[str, Tensor] = {}
    if sets:
        active = first // size % len(sets)
        here = np.repeat([i == active for i in range(len(sets))], [len(names) for names in sets])
        told["labels"], told["targets"] = (
            torch.from_numpy(np.eye(len(here))[rng.choice(np.flatnonzero(here), size)]).to(dtype) for _ in range(2)
        )
        told["known"] = torch.from_numpy(here).expand(size, -1)
        told["dataset"] = torch.full((size,), active)
    return Batch(
        torch.from_numpy(images).to(dtype),
        torch.ones(images.shape[:2], dtype=torch.bool),
        torch.ones(lesion.shape, dtype=torch.bool),
        lesion,
        tuple(range(first, first + size)),
        data.dims,
        **told,
    )


class SystemContract:
    """recipe: a tiny one. memorised: the term that falls on one sample seen again and again.

    names: what the log of a step shows, per phase. batch_statistics: the players whose gradients, in training mode,
    depend on how a batch is shared among ranks (batch norm; dropout); batch_losses: those of which this is true
    whatever the mode, because a loss looks at the batch as a whole. idle: parameters that by the equations change no
    term, so that rounding alone moves them, if anything does.
    `golden/<recipe's name>.json` holds the named terms of twenty steps per phase in float64, from weights and images
    that numpy draws, without dropout; `python -m tests.systems.write_golden` writes it. They change only when the
    mathematics does.
    """

    recipe: Recipe
    memorised: str
    names: dict[str, set[str]]
    batch_statistics: frozenset[str] = frozenset()
    batch_losses: frozenset[str] = frozenset()
    idle: frozenset[str] = frozenset()

    @pytest.fixture
    def dataset(self, entries: list[Entry]) -> Dataset[Any]:
        """The cohort; once for each set of labels, where there are any."""
        sets = self.recipe.data.labels
        return open_dataset(self.recipe.data, [entries] * len(sets) if sets else entries, 0, self.recipe.train.batch)

    @pytest.fixture
    def trainer(self) -> Trainer:
        return trainer_of(self.recipe)

    @pytest.fixture
    def batch(self, dataset: Dataset[Any]) -> Batch:
        return dataset.batch(range(self.recipe.train.batch))

    @pytest.fixture
    def one_thread(self) -> Iterator[None]:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        yield
        torch.set_num_threads(threads)

    def ways(self, trainer: Trainer) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What it is given here, and all it can make of that."""
        have = trainer.system.sources(trainer.system.have)
        return have, trainer.system.targets(have)

    def given(self, trainer: Trainer, batch: Batch) -> Tensor:
        """[B, have, K, H, W] of the batch."""
        if self.recipe.data.labels:
            return batch.images
        return batch.images[:, [self.recipe.data.contrasts.index(c) for c in self.ways(trainer)[0]]]

    def made(self, trainer: Trainer, images: Tensor) -> Tensor:
        return trainer.system.synthesize(images, *self.ways(trainer))[0]

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

    def test_a_round_of_steps_logs_every_term_by_its_name(self, trainer: Trainer, batch: Batch) -> None:
        for phase in trainer.phases:
            logged: set[str] = set()
            for _ in range(6):
                enter(trainer, phase)
                logged |= set(trainer.step(batch))
            assert logged == self.names[phase.name]

    def test_a_player_moves_only_in_its_own_turn_and_no_other_collects_gradients(
        self, trainer: Trainer, batch: Batch
    ) -> None:
        players = trainer.system.players
        assert self.idle <= {name for network in players.values() for name, _ in network.named_parameters()}
        for phase in trainer.phases:
            scene = trainer.system.draw(batch, Step(phase.name, phase.turns), rng_of(trainer, batch))
            for player in phase.turns:
                before = {n: [p.detach().clone() for p in network.parameters()] for n, network in players.items()}
                for network in players.values():
                    network.zero_grad(set_to_none=True)
                trainer._turn(player, scene, 0.0)
                for name, network in players.items():
                    moved = [not torch.equal(p, b) for p, b in zip(network.parameters(), before[name], strict=True)]
                    collected = [p.grad is not None for p in network.parameters()]
                    if name == player:
                        keys = [key for key, _ in network.named_parameters()]
                        assert all(collected)
                        assert all(m or key in self.idle for key, m in zip(keys, moved, strict=True))
                    else:
                        assert not any(moved)
                        assert not any(collected)

    def test_it_stays_finite(self, trainer: Trainer, batch: Batch) -> None:
        for _ in range(50):
            enter(trainer, trainer.phases[-1])
            assert np.isfinite(list(trainer.step(batch).values())).all()
        assert self.made(trainer, self.given(trainer, batch)).isfinite().all()

    def test_it_synthesizes_what_is_wanted_in_the_order_wanted(self, trainer: Trainer, batch: Batch) -> None:
        system, images = trainer.system, self.given(trainer, batch)
        have, want = self.ways(trainer)
        made, scale = system.synthesize(images, have, want)
        data = self.recipe.data
        planes = data.made if isinstance(data, DataConfig) else images.shape[2]
        assert made.shape == (len(images), len(want), planes, *images.shape[3:])
        assert not made.requires_grad
        assert scale is None or scale.shape == made.shape
        turned, _ = system.synthesize(images, have, want[::-1])
        assert torch.equal(turned, made.flip(1))

    def test_an_image_of_any_size_is_synthesized(self, trainer: Trainer, batch: Batch) -> None:
        images = self.given(trainer, batch)
        odd = images[..., :-1, :-3] if self.recipe.data.dims == 2 else images[..., :-2, :-1, :-3]
        made = self.made(trainer, odd)
        assert made.shape[3:] == odd.shape[3:]
        assert made.isfinite().all()

    def test_what_is_wanted_changes_what_is_made(self, trainer: Trainer, batch: Batch) -> None:
        made = self.made(trainer, self.given(trainer, batch))
        for i in range(1, made.shape[1]):
            assert not torch.allclose(made[:, 0], made[:, i], atol=1e-6)

    def test_a_sample_is_synthesized_alike_in_any_company(self, trainer: Trainer, batch: Batch) -> None:
        images = self.given(trainer, batch)
        together, alone = self.made(trainer, images), self.made(trainer, images[:1])
        torch.testing.assert_close(alone, together[:1], atol=1e-5, rtol=1e-5)

    def test_synthesis_leaves_training_as_it_was(self, trainer: Trainer, batch: Batch) -> None:
        players = trainer.system.players
        modes = {name: [m.training for m in network.modules()] for name, network in players.items()}
        state = {name: [v.clone() for v in network.state_dict().values()] for name, network in players.items()}
        given = self.given(trainer, batch)
        with trainer.system.evaluating():
            each_alone(lambda _: self.made(trainer, given), range(4))
        self.made(trainer, given)
        assert modes == {name: [m.training for m in network.modules()] for name, network in players.items()}
        assert same(state, {name: list(network.state_dict().values()) for name, network in players.items()})

    def test_it_memorises_one_sample(self, trainer: Trainer, dataset: Dataset[Any]) -> None:
        batch = dataset.batch([0] * 2)
        terms: list[float] = []
        for _ in range(60):
            enter(trainer, trainer.phases[-1])  # at the first learning rate
            logged = trainer.step(batch)
            terms += [logged[self.memorised]] if self.memorised in logged else []
        assert terms[-1] < 0.5 * terms[0]

    def test_two_ranks_have_the_gradients_of_one_process(
        self, cohort: Path, cache: Path, entries: list[Entry], tmp_path: Path
    ) -> None:
        """To 1e-12 in float64, but for what looks at a batch as a whole: that is listed, and does differ."""
        assert entries  # cached before the processes ask for them
        arguments = (tiny.as_file(self.recipe, tmp_path / "recipe.json"), cohort, cache)
        both = ranks.on_two_ranks(RANK_STEP, *arguments, tmp_path / "two")
        run_ranks.main(*map(str, arguments), str(tmp_path / "one"))
        for process in both:
            tiny.finish(process)
        one, two = (torch.load(tmp_path / name, weights_only=True) for name in ("one", "two"))
        for mode, excepted in (("eval", self.batch_losses), ("train", self.batch_losses | self.batch_statistics)):
            apart = {player: ranks.apart(two[mode], one[mode], player) for player in self.names_of_players()}
            assert {player for player, distance in apart.items() if distance > 1e-12} == excepted

    def names_of_players(self) -> set[str]:
        return set(systems.build(self.recipe.system, self.recipe.data).players)

    def test_saved_weights_synthesize_the_same(self, trainer: Trainer, batch: Batch, tmp_path: Path) -> None:
        images = self.given(trainer, batch)
        for _ in range(6):  # every player has had a turn
            trainer.step(batch)
        trainer.save(tmp_path, Log(tmp_path))
        weights, _ = runs.load_weights(tmp_path)
        other = systems.build(self.recipe.system, self.recipe.data)
        for name in other.synthesizers:
            own = {k.removeprefix(f"{name}."): v for k, v in weights.items() if k.startswith(f"{name}.")}
            other.players[name].load_state_dict(own)
        assert torch.equal(self.made(trainer, images), other.synthesize(images, *self.ways(trainer))[0])

    def test_a_restored_trainer_goes_on_as_the_first_would(
        self, trainer: Trainer, batch: Batch, tmp_path: Path
    ) -> None:
        for _ in range(6):
            enter(trainer, trainer.phases[-1])
            trainer.step(batch)
        trainer.save(tmp_path, Log(tmp_path))
        torch_state = torch.get_rng_state()
        other = trainer_of(replace(self.recipe, train=replace(self.recipe.train, seed=self.recipe.train.seed + 1)))
        other.recipe = trainer.recipe
        other.load(tmp_path, Log(tmp_path))
        assert asdict(other.clock) == asdict(trainer.clock)
        logged = other.step(batch)
        torch.set_rng_state(torch_state)  # which dropout uses, and the other has restored by itself
        assert logged == trainer.step(batch)
        for name, network in trainer.system.players.items():
            for key, value in network.state_dict().items():
                assert torch.equal(value, other.system.players[name].state_dict()[key]), f"{name}.{key}"
        assert checkpoint.load_state(tmp_path, CPU)[1]["images"] == trainer.clock.images - self.recipe.train.batch

    def test_its_extra_state_comes_back(self, trainer: Trainer, batch: Batch) -> None:
        for _ in range(6):
            trainer.step(batch)
        state = copy.deepcopy(trainer.system.extra_state())
        other = trainer_of(self.recipe)
        other.system.load_extra_state(state)
        assert same(other.system.extra_state(), state)

    def test_bfloat16_gives_losses_of_the_same_size_in_float32(self, trainer: Trainer, batch: Batch) -> None:
        """Every player's terms of one scene, from the same first weights."""
        players = tuple(trainer.system.players)
        rough = trainer_of(self.recipe)
        rough.system.bfloat16 = frozenset(players)  # imitated where the CPU is not made for it
        exact, rounded = first_terms(trainer, batch), first_terms(rough, batch)
        assert {value.dtype for value in rounded.values()} == {torch.float32}
        assert {name[0] for name in rounded} == {player[0] for player in players}
        assert any(not torch.equal(exact[name], rounded[name]) for name in exact)
        for name, value in exact.items():
            assert rounded[name].item() == pytest.approx(value.item(), rel=0.05, abs=0.05), name

    def test_data_of_the_other_pairing_is_refused(self) -> None:
        data = self.recipe.data
        if not isinstance(data, DataConfig) or data.labels:
            pytest.skip("patches are pairs and labelled samples single images, whatever they are set to")
        with pytest.raises(UserError):
            systems.build(self.recipe.system, replace(data, paired=not data.paired))

    @pytest.mark.usefixtures("one_thread")
    def test_the_losses_of_its_first_steps_are_the_golden_ones(self, trainer: Trainer) -> None:
        golden = json.loads((GOLDEN / f"{self.recipe.name}.json").read_text(encoding="utf-8"))
        found = golden_losses(trainer, self.recipe)
        assert set(found) == set(golden)
        for name, values in golden.items():
            assert found[name] == pytest.approx(values, rel=1e-6, abs=1e-9), name


def same(a: Any, b: Any) -> bool:
    """Whether two nests of dicts, lists, tensors and numbers are equal to the bit."""
    if isinstance(a, Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


def golden_losses(trainer: Trainer, recipe: Recipe) -> dict[str, list[float]]:
    """`<phase>/<term>` of twenty steps of every phase, in float64."""
    fill(trainer.system, seed=1)
    torch.manual_seed(1)
    for network in trainer.system.players.values():
        network.double()
        for module in network.modules():
            if isinstance(module, nn.Dropout):
                module.eval()  # its masks are torch's
    found: dict[str, list[float]] = {}
    for phase in trainer.phases:
        for step in range(20):
            enter(trainer, phase)
            terms = trainer.step(drawn_batch(recipe, first=step * recipe.train.batch))
            for name, value in terms.items():
                found.setdefault(f"{phase.name}/{name}", []).append(value)
    return found


def first_terms(trainer: Trainer, batch: Batch) -> dict[str, Tensor]:
    """The values of all players' terms of a scene of the last phase, in which all take a turn."""
    torch.manual_seed(0)  # dropout
    phase, found = trainer.phases[-1], {}
    scene = trainer.system.draw(batch, Step(phase.name, phase.turns), rng_of(trainer, batch))
    for player in phase.turns:
        with others_frozen(trainer.system, player):
            found |= {name: term.value.detach() for name, term in trainer.system.losses(player, scene).items()}
    return found


def rng_of(trainer: Trainer, batch: Batch) -> SampleRng:
    return SampleRng(trainer.recipe.train.seed, batch.index, CPU)
