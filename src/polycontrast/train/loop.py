"""The one visible loop: sample -> turns -> EMA -> log -> picture -> checkpoint.

Progress counts images seen, so that batch size and ranks do not change a schedule's meaning. What a sample holds and
what is drawn for it derive from (seed, its global index): one process and many see the same, and a resumed run equals
an uninterrupted one to the bit on the CPU.
"""

import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import polycontrast
from polycontrast import config, recipes, systems
from polycontrast.data import Source, descriptors, open_dataset
from polycontrast.data.batches import Batch, Dataset, Units
from polycontrast.data.resident import resident
from polycontrast.errors import UserError
from polycontrast.io.files import read_json, write_json
from polycontrast.io.volume import Array
from polycontrast.precision import has_bfloat16
from polycontrast.recipes import Recipe
from polycontrast.runs import CONFIG, check_free, find, read_config
from polycontrast.systems.base import Phase, SampleRng, Step, System
from polycontrast.train import checkpoint, distributed, pretrained
from polycontrast.train.distributed import Ranks
from polycontrast.train.log import Log, require_tensorboard
from polycontrast.train.preview import preview
from polycontrast.train.progress import Progress

_READERS = 8  # threads that read ahead for a GPU
_YOUNG = 0.1  # the half-life of averaged weights is no more than so much of the images seen


@dataclass
class Clock:
    """How far a run is: images seen over all phases and ranks, steps of any phase, seconds of training."""

    images: int = 0
    updates: int = 0
    seconds: float = 0.0


class Trainer:
    """One run's moving parts: system, optimisers, averaged weights, clock."""

    def __init__(self, recipe: Recipe, device: torch.device, ranks: Ranks) -> None:
        self.recipe, self.device, self.ranks = recipe, device, ranks
        torch.manual_seed(recipe.train.seed)  # the initialisation; everything later derives from sample indices
        self.system = systems.build(recipe.system, recipe.data).to(device)
        self.system.bfloat16 = frozenset(recipe.train.bfloat16 if has_bfloat16(device) else ())
        self.system.use_channels_last(recipe.train.channels_last)
        distributed.copy_from_first(self.system.players.values(), ranks)
        self.optimisers = {name: _adam(self.system, name) for name in self.system.players}
        self.average = self._copied() if recipe.train.ema else None
        assert recipe.train.images is not None
        self.phases = [p for p in self.system.phases(recipe.train.images) if p.images > 0]
        self.clock = Clock()

    def load_pretrained(self) -> dict[str, Any]:
        """Begin with the weights of `recipe.train.pretrained`; returns what config.json tells of them."""
        told = pretrained.load(self.system, self.recipe)
        self.average = self._copied() if self.average is not None else None
        return told

    def _copied(self) -> dict[str, Tensor]:
        return {name: value.clone() for name, value in self.system.weights().items()}

    @property
    def total(self) -> int:
        """Images of all phases."""
        return sum(p.images for p in self.phases)

    def phase(self) -> tuple[Phase, float]:
        """The phase that the clock is in, and the fraction of it that has passed."""
        first = 0
        for phase in self.phases:
            if self.clock.images < first + phase.images:
                return phase, (self.clock.images - first) / phase.images
            first += phase.images
        return self.phases[-1], 1.0

    def step(self, batch: Batch) -> dict[str, float]:
        """The turns of one step; returns the named terms, unweighted, with each player's weighted sum."""
        phase, fraction = self.phase()
        step = Step(phase.name, self.system.turns(phase, self.clock.updates))
        scene = self.system.draw(batch, step, SampleRng(self.recipe.train.seed, batch.index, self.device))
        logged: dict[str, float] = {}
        for player in step.turns:
            logged |= self._turn(player, scene, fraction)
        self._update_average()
        self.clock.images += self.recipe.train.batch
        self.clock.updates += 1
        return logged

    def _turn(self, player: str, scene: Any, fraction: float) -> dict[str, float]:
        network, optimiser = self.system.players[player], self.optimisers[player]
        with others_frozen(self.system, player):
            terms = self.system.losses(player, scene)
            loss = torch.stack([t.weight * t.value for t in terms.values()]).sum()
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
        values = torch.stack([loss.detach(), *(t.value.detach() for t in terms.values())])
        means = distributed.average(values, self.ranks).tolist()
        logged = dict(zip([f"{player[0]}_loss", *terms], means, strict=True))
        self._check_finite(logged)
        distributed.average_gradients(network, self.ranks)
        if self.recipe.train.clip:
            nn.utils.clip_grad_norm_(network.parameters(), self.recipe.train.clip)
        for group in optimiser.param_groups:
            group["lr"] = self.system.optimisers[player].rate(fraction)
        optimiser.step()
        return logged

    def _check_finite(self, logged: dict[str, float]) -> None:
        bad = [name for name, value in logged.items() if not math.isfinite(value)]
        if bad:
            raise UserError(
                f"training stopped after {self.clock.images} images, not finite: {', '.join(bad)}",
                hint="the last checkpoint is kept; see in metrics.jsonl which term grew, and start a new run with "
                "--precision float32 or another --seed",
            )

    @torch.no_grad()
    def _update_average(self) -> None:
        """Its half-life grows to the recipe's with the images seen: else short runs would keep of the first weights."""
        if self.average is None:
            return
        batch = self.recipe.train.batch
        keep = 0.5 ** (batch / min(self.recipe.train.ema, _YOUNG * (self.clock.images + batch)))
        for name, value in self.system.weights().items():
            if value.is_floating_point():
                self.average[name].lerp_(value, 1 - keep)
            else:  # a norm's count of batches
                self.average[name].copy_(value)

    @torch.no_grad()
    def save(self, run: Path, log: Log) -> None:
        """Write a checkpoint, unless a weight is not finite: a finite loss can have a gradient that is not."""
        for name, network in self.system.players.items():
            self._check_finite({f"weights of {name}": float(sum(w.abs().sum() for w in network.parameters()))})
        weights = self.system.weights() if self.average is None else self.average
        state = {
            "players": {name: network.state_dict() for name, network in self.system.players.items()},
            "optimisers": {name: optimiser.state_dict() for name, optimiser in self.optimisers.items()},
            "average": self.average or {},
            "extra": self.system.extra_state(),
            "log": {"sums": log.sums, "counts": log.counts},
            "rng": torch.get_rng_state(),
        }
        checkpoint.save(run, weights, state, asdict(self.clock))

    def load(self, run: Path, log: Log) -> None:
        state, clock = checkpoint.load_state(run, self.device)
        for name, network in self.system.players.items():
            network.load_state_dict(state["players"][name])
            self.optimisers[name].load_state_dict(state["optimisers"][name])
        if self.average is not None:
            self.average = state["average"]
        self.system.load_extra_state(state["extra"])
        log.sums, log.counts = state["log"]["sums"], state["log"]["counts"]
        torch.set_rng_state(state["rng"].cpu())
        self.clock = Clock(int(clock["images"]), int(clock["updates"]), clock["seconds"])


def train(
    recipe: Recipe,
    source: Source,
    run: Path,
    *,
    device: torch.device | None = None,
    resume: bool = False,
    tensorboard: bool = False,
    progress: bool = True,
) -> Path:
    """Train a recipe and leave a self-describing run folder, which is returned.

    source: cached cases, a list of them per cohort, or one or several folders of photographs, as the recipe's data
    asks.
    resume: go on from the run's last checkpoint; recipe and cases must be the run's own. Raises UserError if the recipe
    contradicts itself, begins with a model that does not fit, or ends before its first turn for a player that
    synthesises (nothing is written then), if the folder holds another run, or when a loss is not finite.
    """
    if tensorboard:
        require_tensorboard()
    if not resume:
        check_free(run)
    device = device or torch.device("cpu")
    ranks = distributed.start(device)
    distributed.check_share(recipe.train.batch, ranks)
    dataset = open_dataset(recipe.data, source, recipe.train.seed, recipe.train.batch)
    recipe = recipes.with_length(recipe, len(dataset))
    begun = resume and find(run) is not None
    trainer = Trainer(recipe, device, ranks)  # before anything is written: it may refuse the recipe
    ancestor = {}
    if not begun:
        _check_turns(trainer)
        if recipe.train.pretrained is not None:
            ancestor = {"pretrained": trainer.load_pretrained()}
        distributed.barrier(ranks)  # all have read the model, should the new run take its name
    with checkpoint.alone(run) if ranks.first else nullcontext():
        if ranks.first:
            _open_run(run, recipe, dataset, resume, ancestor)
        distributed.barrier(ranks)
        log = Log(run, tensorboard and ranks.first)
        if begun:
            trainer.load(run, log)
        first = trainer.clock.images
        if ranks.first:
            log.cut_back(first)
        with Progress(trainer.total, first, shown=progress and ranks.first) as bar:
            if dataset.left_out:
                bar.say(f"left out, for they lack what the recipe needs: {', '.join(dataset.left_out)}")
            with _same_shapes():
                _loop(trainer, dataset, run, log, bar)
        if ranks.first:
            _settle_units(trainer, dataset, run, trained=trainer.clock.images > first)
        distributed.barrier(ranks)
    return run


def _check_turns(trainer: Trainer) -> None:
    """UserError if a run is over before a player that synthesises has had its first turn."""
    system, batch = trainer.system, trainer.recipe.train.batch
    waiting, images, end = set(system.synthesizers), 0, 0
    for phase in trainer.phases:
        end += phase.images
        while images < end:
            waiting -= set(system.turns(phase, images // batch))
            images += batch
            if not waiting:
                return
    raise UserError(
        f"in a run of so few images ({trainer.total}) there is no turn for the {' and the '.join(sorted(waiting))}",
        hint="ask for more --images: it would not be trained at all",
    )


def _settle_units(trainer: Trainer, dataset: Dataset[Any], run: Path, trained: bool) -> None:
    """Write the map from the system's outputs to normalised units into config.json, in place of that of real images.
    Intervals that were calibrated before the weights were trained further are those of others, and go."""
    trainer.system.bfloat16 = frozenset()  # synthesis computes in float32
    if trainer.average is not None:
        trainer.system.load_weights(trainer.average)
    units = output_units(trainer.system, dataset, trainer.device)
    told = read_json(run / "config.json")
    if trained:
        told.pop("confidence", None)
    write_json(run / "config.json", {**told, "units": units})


def output_units(system: System, dataset: Dataset[Any], device: torch.device) -> Units:
    """The map from what the system, which is on the device, makes of these samples to normalised units."""
    names = dataset.config.contrasts
    have = system.have[:1] if system.any_source else system.have
    want = system.targets(have)

    def outputs(real: Array) -> dict[str, Array]:
        given = torch.from_numpy(real[[names.index(c) for c in have]])[None].to(device)
        made, _ = system.synthesize(given, have, want)
        return {name: made[0, i].cpu().numpy() for i, name in enumerate(want)}

    return dataset.units(outputs)


def _loop(trainer: Trainer, dataset: Dataset[Any], run: Path, log: Log, bar: Progress) -> None:
    settings, clock, ranks = trainer.recipe.train, trainer.clock, trainer.ranks
    started = time.perf_counter() - clock.seconds
    source = resident(dataset, trainer.device)
    ahead = min(_READERS, os.cpu_count() or 1) if source is dataset and trainer.device.type != "cpu" else 0
    batches = source.batches(clock.images, settings.batch, ranks.rank, ranks.world, ahead=ahead)
    while clock.images < trainer.total:
        log.add(trainer.step(next(batches).map(lambda x: x.to(trainer.device, non_blocking=True))))
        clock.seconds = time.perf_counter() - started
        last = clock.images >= trainer.total
        bar.update(clock.images, log.means)
        if not ranks.first:
            continue
        if _due(clock.images, settings.log_every, settings.batch) or last:
            bar.note(log.write({**asdict(clock), "phase": trainer.phase()[0].name}))
        if _due(clock.images, settings.preview_every, settings.batch) or last:
            _draw(trainer, dataset, run, log, bar)
        if _due(clock.images, settings.checkpoint_every, settings.batch) or last:
            trainer.save(run, log)
    batches.close()
    distributed.barrier(ranks)


def _draw(trainer: Trainer, dataset: Dataset[Any], run: Path, log: Log, bar: Progress) -> None:
    try:
        log.draw()
        preview(trainer.system, dataset, run / "preview" / f"{trainer.clock.images:09d}.png")
    except Exception as error:  # whatever it is, a picture must not stop a training
        bar.say(f"no picture after {trainer.clock.images} images: {error}")


def _due(images: int, every: int, batch: int) -> bool:
    """Whether a multiple of `every` was passed in the last step."""
    return images // every > (images - batch) // every


@contextmanager
def _same_shapes() -> Iterator[None]:
    """Inside, cuDNN measures which algorithm is the fastest. (torch's own `cudnn.flags` would switch cuDNN off.)"""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


@contextmanager
def others_frozen(system: System, player: str) -> Iterator[None]:
    """Only this player's parameters collect gradients inside; all do again afterwards."""
    others = [p for name, network in system.players.items() if name != player for p in network.parameters()]
    for parameter in others:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in others:
            parameter.requires_grad_(True)


def _adam(system: System, player: str) -> torch.optim.Optimizer:
    settings = system.optimisers[player]
    return torch.optim.Adam(
        system.players[player].parameters(), settings.rate(0.0), settings.betas, weight_decay=settings.weight_decay,
        fused=True,
    )  # fmt: skip


def _open_run(run: Path, recipe: Recipe, dataset: Dataset[Any], resume: bool, more: dict[str, Any]) -> None:
    """Write config.json, and more into it, or see that it is the one that is being resumed, of which more holds too."""
    described = {
        "polycontrast": polycontrast.__version__,
        "recipe": config.to_dict(recipe),
        "cases": list(dataset.cases),
        "left_out": list(dataset.left_out),
        "slices": len(dataset),
    }
    file = run / CONFIG
    if file.exists() and resume:
        told = config.to_dict(read_config(run).recipe)  # with settings that are younger than the run
        old = read_json(file)
        _check_same({**old, "recipe": told}, described, file)
        if any(old.get(key) != value for key, value in more.items()):
            found = "the pretrained model is not the one that the run began with"
            raise UserError(found, hint="bring back that one, or start a new run in another folder", path=file)
        return
    units, usual = dataset.units(), descriptors.typical(dataset.entries)
    write_json(file, {**described, **more, "units": units, "typical": usual})


def _check_same(old: dict[str, Any], new: dict[str, Any], file: Path) -> None:
    """UserError if a run that is resumed is not the one that config.json describes. Where its pretrained model lies
    does not matter: the weights are its own by now, or their hash is compared."""
    before, now = ({**_leaves(one["recipe"]), "train.pretrained": ""} for one in (old, new))
    other = [f"another recipe ({key} was {before.get(key)}, is {now.get(key)})" for key in (*before, *now)
             if before.get(key) != now.get(key)]  # fmt: skip
    other += [text for key, text in (("cases", "other cases"), ("slices", "another number of slices"))
              if old[key] != new[key]]  # fmt: skip
    if other:
        raise UserError(
            f"the run to resume was started with {other[0]}", path=file,
            hint="resume with the same recipe, data, split and overrides, or start a new run in another folder",
        )  # fmt: skip


def _leaves(settings: dict[str, Any], at: str = "") -> dict[str, Any]:
    """Nested settings by their dotted names."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        found |= _leaves(value, f"{at}{key}.") if isinstance(value, dict) else {f"{at}{key}": value}
    return found
