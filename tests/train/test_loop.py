import json
import math
import shutil
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from polycontrast import recipes, runs, systems
from polycontrast.data.augment import Augmentation
from polycontrast.data.batches import Batch
from polycontrast.data.cache import Entry
from polycontrast.data.configs import DataConfig
from polycontrast.data.dataset import SliceDataset
from polycontrast.errors import UserError
from polycontrast.io.files import read_json, write_json
from polycontrast.recipes import Recipe
from polycontrast.systems.base import OptimiserConfig, System
from polycontrast.train import checkpoint, loop
from polycontrast.train.distributed import Ranks
from polycontrast.train.log import Log
from polycontrast.train.loop import Trainer, others_frozen, train
from polycontrast.train.progress import Progress

from .. import tiny

CPU = torch.device("cpu")
SCRIPT = Path(__file__).with_name("run_training.py")


def trainer_of(recipe: Recipe) -> Trainer:
    return Trainer(recipes.with_length(recipe, 10), CPU, Ranks())


def batch_of(entries: list[Entry], first: int = 0, size: int = 4) -> Batch:
    return SliceDataset(entries, tiny.recipe().data).batch(range(first, first + size))


def records(run: Path) -> list[dict[str, Any]]:
    """The log without what no two runs share: the seconds."""
    found = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [{k: v for k, v in record.items() if k != "seconds"} for record in found]


def with_rates(recipe: Recipe, *schedule: tuple[float, float]) -> Recipe:
    adam = OptimiserConfig(schedule)
    return replace(recipe, system=replace(recipe.system, generator=adam, discriminator=adam, segmenter=adam))


# Schedules


def test_phases_follow_each_other_and_rates_step_at_fractions_of_each(entries: list[Entry]) -> None:
    recipe = with_rates(tiny.recipe(images=16), (0.0, 1e-3), (0.5, 1e-4))
    trainer = trainer_of(replace(recipe, system=replace(recipe.system, pretrain=0.5)))
    seen = []
    while trainer.clock.images < trainer.total:
        phase, _ = trainer.phase()
        logged = trainer.step(batch_of(entries))
        rates = {n: o.param_groups[0]["lr"] for n, o in trainer.optimisers.items() if f"{n[0]}_loss" in logged}
        assert set(rates) == set(phase.turns)
        assert len(set(rates.values())) == 1
        seen.append((phase.name, trainer.clock.images, *set(rates.values())))
    assert seen == [
        ("segmenter", 4, 1e-3), ("segmenter", 8, 1e-4),
        ("all", 12, 1e-3), ("all", 16, 1e-3), ("all", 20, 1e-4), ("all", 24, 1e-4),
    ]  # fmt: skip
    assert trainer.clock.updates == 6
    assert trainer.phase() == (trainer.phases[-1], 1.0)


def test_a_phase_of_no_images_is_left_out() -> None:
    recipe = tiny.recipe()
    trainer = trainer_of(replace(recipe, system=replace(recipe.system, pretrain=0.0)))
    assert [phase.name for phase in trainer.phases] == ["all"]
    assert trainer.total == 32


# One step


def test_the_averaged_weights_have_their_analytic_value_after_two_steps(entries: list[Entry]) -> None:
    recipe = tiny.recipe(ema=8.0)
    trainer = trainer_of(replace(recipe, system=replace(recipe.system, pretrain=0.0)))
    live = [{k: v.clone() for k, v in trainer.system.weights().items()}]
    for step in range(2):
        trainer.step(batch_of(entries, 4 * step))
        live.append({k: v.clone() for k, v in trainer.system.weights().items()})
    first, second = (0.5 ** (4 / (0.1 * images)) for images in (4, 8))  # half-lives of a tenth of the images seen
    assert trainer.average is not None
    for name, average in trainer.average.items():
        w0, w1, w2 = (weights[name].double() for weights in live)
        expected = second * (first * w0 + (1 - first) * w1) + (1 - second) * w2
        torch.testing.assert_close(average.double(), expected, atol=1e-7, rtol=1e-5)
        assert not torch.equal(w1, w2)


def test_averaged_weights_of_a_short_run_keep_nothing_of_the_first_ones() -> None:
    """Though the half-life is longer than the run; and later it is the recipe's."""
    recipe = tiny.recipe(ema=8.0)
    trainer = trainer_of(replace(recipe, system=replace(recipe.system, pretrain=0.0)))
    assert trainer.average is not None
    name = next(iter(trainer.average))
    trainer.average[name].fill_(1.0)
    trainer.system.weights()[name].zero_()
    kept = []
    for _ in range(40):
        trainer._update_average()
        trainer.clock.images += 4
        kept.append(float(trainer.average[name].flatten()[0]))
    assert kept[9] < 1e-8
    assert kept[39] / kept[38] == pytest.approx(0.5 ** (4 / 8))


def test_what_is_saved_are_the_averaged_weights_where_they_are_kept(entries: list[Entry], tmp_path: Path) -> None:
    for ema in (0.0, 100.0):
        recipe = tiny.recipe(ema=ema)
        trainer = trainer_of(replace(recipe, system=replace(recipe.system, pretrain=0.0)))
        trainer.step(batch_of(entries))
        trainer.save(tmp_path, Log(tmp_path))
        saved, _ = runs.load_weights(tmp_path)
        live = trainer.system.weights()
        assert set(saved) == set(live)
        assert all(name.startswith("generator.") for name in saved)
        assert all(torch.equal(saved[k], live[k]) for k in live) == (ema == 0)
        if trainer.average is not None:
            assert all(torch.equal(saved[k], trainer.average[k]) for k in saved)


def test_gradients_are_clipped_to_the_norm(entries: list[Entry]) -> None:
    norms = {}
    for clip in (0.0, 0.01):
        trainer = trainer_of(tiny.recipe(clip=clip))
        trainer.step(batch_of(entries))
        grads = [p.grad for p in trainer.system.players["segmenter"].parameters() if p.grad is not None]
        norms[clip] = torch.nn.utils.get_total_norm(grads).item()
    assert norms[0.0] > 0.02
    assert norms[0.01] == pytest.approx(0.01, rel=1e-3)


def test_only_the_player_in_turn_collects_gradients_and_all_do_again_even_after_an_error() -> None:
    trainer = trainer_of(tiny.recipe())
    players = trainer.system.players
    seen: dict[str, bool] = {}

    def turn() -> None:
        with others_frozen(trainer.system, "generator"):
            seen.update({name: any(p.requires_grad for p in n.parameters()) for name, n in players.items()})
            raise ValueError

    with pytest.raises(ValueError):
        turn()
    assert seen == {"generator": True, "discriminator": False, "segmenter": False}
    assert all(p.requires_grad for network in players.values() for p in network.parameters())


def test_the_seed_alone_decides_the_initialisation() -> None:
    first, same, other = (
        trainer_of(tiny.recipe(seed=seed)).system.weights()["generator.down.0.0.weight"] for seed in (0, 0, 1)
    )
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


# A whole run


@pytest.fixture(scope="module")
def run(entries: list[Entry], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of 40 images: 8 of pre-training, 32 of all."""
    return train(tiny.recipe(preview_every=16), entries, tmp_path_factory.mktemp("train") / "run", progress=False)


def test_a_run_folder_describes_itself(run: Path, entries: list[Entry]) -> None:
    config = runs.read_config(run)
    assert config.recipe == recipes.with_length(tiny.recipe(preview_every=16), 1)
    assert config.cases == tuple(e.id for e in entries)
    assert set(config.units) == {"T1", "T1ce", "T2", "FLAIR"}
    assert (run / "progress.png").stat().st_size > 1000
    assert sorted(p.name for p in (run / "preview").iterdir()) == ["000000016.png", "000000032.png", "000000040.png"]


def test_the_log_counts_images_and_updates_and_names_the_papers_terms(run: Path) -> None:
    found = records(run)
    assert [record["images"] for record in found] == [8, 16, 24, 32, 40]
    assert [record["updates"] for record in found] == [2, 4, 6, 8, 10]
    assert set(found[0]) == {"images", "updates", "phase", "s_loss", "s_real"}
    assert set(found[-1]) >= {
        *("d_loss", "g_loss", "s_loss", "d_real", "d_fake", "d_cls", "d_gp"),
        *("g_fake", "g_cls", "g_rec", "g_seg"),
    }


def test_the_checkpoint_loads_into_the_system_it_describes(run: Path) -> None:
    recipe = runs.read_config(run).recipe
    system = systems.build(recipe.system, recipe.data)
    weights, _ = runs.load_weights(run)
    own = {k.removeprefix("generator."): v for k, v in weights.items()}
    assert system.players["generator"].load_state_dict(own)


def test_a_run_is_not_written_over(run: Path, entries: list[Entry]) -> None:
    with pytest.raises(UserError, match="run already") as caught:
        train(tiny.recipe(), entries, run, progress=False)
    assert "--resume" in caught.value.hint


def test_a_finished_run_stays_as_it_is(run: Path, entries: list[Entry]) -> None:
    told = read_json(run / "config.json")
    write_json(run / "config.json", told | {"confidence": {"t2_to_t1": {"80": 1.5}}})
    before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}
    train(tiny.recipe(preview_every=16), entries, run, resume=True, progress=False)
    assert {p: p.read_bytes() for p in run.rglob("*") if p.is_file()} == before


def test_a_run_that_is_older_than_a_setting_is_resumed(run: Path, entries: list[Entry], tmp_path: Path) -> None:
    older = tmp_path / "older"
    shutil.copytree(run, older)
    told = json.loads((older / "config.json").read_text(encoding="utf-8"))
    assert told["recipe"]["data"].pop("apart") == 0.0
    (older / "config.json").write_text(json.dumps(told))
    assert train(tiny.recipe(preview_every=16), entries, older, resume=True, progress=False) == older


@pytest.mark.parametrize("other", ["another recipe", "other cases"])
def test_a_run_is_resumed_with_its_own_recipe_and_cases_only(run: Path, entries: list[Entry], other: str) -> None:
    recipe = tiny.recipe(preview_every=16, seed=1 if other == "another recipe" else 0)
    cases = entries[1:] if other == "other cases" else entries
    with pytest.raises(UserError, match=f"started with {other}") as caught:
        train(recipe, cases, run, resume=True, progress=False)
    assert caught.value.path == run / "config.json"


def test_what_is_other_in_a_recipe_is_named_and_the_place_of_its_pretrained_model_is_not(
    run: Path, entries: list[Entry], tmp_path: Path
) -> None:
    recipe = tiny.recipe(preview_every=16, seed=7)
    with pytest.raises(UserError, match=r"train\.seed was 0, is 7"):
        train(recipe, entries, run, resume=True, progress=False)
    shutil.copytree(run, tmp_path / "copy")
    told = json.loads((tmp_path / "copy" / "config.json").read_text(encoding="utf-8"))
    told["recipe"]["train"]["pretrained"] = "elsewhere"
    (tmp_path / "copy" / "config.json").write_text(json.dumps(told))
    again = tiny.recipe(preview_every=16, pretrained="./elsewhere")
    assert train(again, entries, tmp_path / "copy", resume=True, progress=False) == tmp_path / "copy"


def test_a_run_that_was_stopped_before_its_first_checkpoint_is_none(
    run: Path, entries: list[Entry], tmp_path: Path
) -> None:
    (tmp_path / "run").mkdir()
    shutil.copy(run / "config.json", tmp_path / "run")
    train(tiny.recipe(preview_every=16, seed=1), entries[1:], tmp_path / "run", progress=False)
    told = json.loads((tmp_path / "run" / "config.json").read_text(encoding="utf-8"))
    assert told["cases"] == [entry.id for entry in entries[1:]]
    with pytest.raises(UserError, match="there is a run already"):
        train(tiny.recipe(preview_every=16), entries, tmp_path / "run", progress=False)


def test_a_folder_that_describes_no_run_is_not_resumed(entries: list[Entry], tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match="not a run's configuration"):
        train(tiny.recipe(), entries, tmp_path, resume=True, progress=False)


@pytest.mark.skipif(checkpoint.fcntl is None, reason="this system has no locks of files")
def test_two_trainings_do_not_write_into_one_folder(entries: list[Entry], tmp_path: Path) -> None:
    with (
        checkpoint.alone(tmp_path / "run"),
        pytest.raises(UserError, match="another training is writing into this folder") as caught,
    ):
        train(tiny.recipe(), entries, tmp_path / "run", progress=False)
    assert caught.value.path == tmp_path / "run"
    assert not list((tmp_path / "run").iterdir())
    with checkpoint.alone(tmp_path / "run"):
        pass  # the one before has let go


def test_a_run_folder_that_cannot_be_made_is_told(entries: list[Entry], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot"):
        train(tiny.recipe(), entries, tmp_path / "file" / "run", progress=False)


def test_of_a_recipe_that_is_refused_nothing_is_left(entries: list[Entry], tmp_path: Path) -> None:
    odd = tiny.recipe()
    odd = replace(odd, data=replace(odd.data, size=40))
    with pytest.raises(UserError, match="size 40"):
        train(odd, entries, tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("picture", ["preview", "pictures.curves"])
def test_a_picture_that_fails_stops_no_training(
    entries: list[Entry], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, picture: str
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("no room")

    said: list[str] = []
    for name in ("train.loop.preview", "pictures.curves"):
        monkeypatch.setattr(f"polycontrast.{name}", broken if name.endswith(picture) else lambda *_: None)
    monkeypatch.setattr(Progress, "say", lambda _, text: said.append(text))
    run = train(tiny.recipe(images=8), entries, tmp_path / "run", progress=False)
    assert runs.find(run) is not None
    assert said == ["no picture after 12 images: no room"]


def test_a_run_that_ends_before_the_generators_first_turn_is_refused(entries: list[Entry], tmp_path: Path) -> None:
    """DiscoGAN's critics begin: after one step the generator would be as it was drawn, and the run look finished."""
    recipe = recipes.recipe("discogan_small")
    recipe = replace(recipe, data=replace(recipe.data, size=64), train=replace(recipe.train, images=recipe.train.batch))
    with pytest.raises(UserError, match=r"so few images \(8\) there is no turn for the generator"):
        train(recipe, entries, tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_training_keeps_cudnn_on(entries: list[Entry], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it a GPU's convolutions take ten times as long, and nothing tells."""
    on: list[bool] = []
    step = Trainer.step

    def noting(trainer: Trainer, batch: Batch) -> dict[str, float]:
        on.append(torch.backends.cudnn.enabled)
        return step(trainer, batch)

    monkeypatch.setattr(Trainer, "step", noting)
    monkeypatch.setattr(loop, "_draw", lambda *_: None)
    train(tiny.recipe(images=4), entries, tmp_path / "run", progress=False)
    assert on
    assert all(on)


def test_units_are_fitted_to_what_synthesis_computes(
    entries: list[Entry], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In float32, whatever training was done in."""
    found = []
    fit = loop.output_units
    monkeypatch.setattr(loop, "has_bfloat16", lambda _: True)

    def noting(system: System, *rest: Any) -> Any:
        found.append(system.bfloat16)
        return fit(system, *rest)

    monkeypatch.setattr(loop, "output_units", noting)
    monkeypatch.setattr(loop, "_draw", lambda *_: None)
    train(tiny.recipe(images=4, bfloat16=("generator",)), entries, tmp_path / "run", progress=False)
    assert found == [frozenset()]


@pytest.mark.parametrize("native", [True, False])
def test_bfloat16_is_used_where_the_device_is_made_for_it(native: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "has_bfloat16", lambda _: native)
    trainer = Trainer(tiny.recipe(images=4, bfloat16=("generator",)), CPU, Ranks())
    assert trainer.system.bfloat16 == ({"generator"} if native else set())


def test_every_slice_is_seen_once_before_any_is_seen_twice(entries: list[Entry], tmp_path: Path) -> None:
    """The loop goes through the dataset's indices in order, whatever the phase."""
    seen: list[int] = []

    class Noting(SliceDataset):
        def batch(self, indices: Any) -> Batch:
            seen.extend(indices)
            return super().batch(indices)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "open_dataset", lambda config, source, seed, *_: Noting(source, config, seed))
        patch.setattr(loop, "preview", lambda *_: None)
        train(tiny.recipe(), entries, tmp_path / "run", progress=False)
    assert seen[:40] == list(range(40))


# Stops


@pytest.mark.parametrize(
    ("player", "term"), [("generator", "d_fake"), ("segmenter", "g_seg"), ("discriminator", "d_real")]
)
def test_a_loss_that_is_not_finite_stops_by_name_and_keeps_the_last_good_checkpoint(
    entries: list[Entry], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, player: str, term: str
) -> None:
    steps = 0
    step = Trainer.step

    def poisoned(self: Trainer, batch: Batch) -> dict[str, float]:
        nonlocal steps
        steps += 1
        if steps == 7:  # after the checkpoints at 16 images
            with torch.no_grad():
                next(self.system.players[player].parameters()).fill_(math.nan)
        return step(self, batch)

    monkeypatch.setattr(Trainer, "step", poisoned)
    with pytest.raises(UserError, match=rf"after 24 images, not finite: .*{term}") as caught:
        train(tiny.recipe(), entries, tmp_path / "run", progress=False)
    assert "new run" in caught.value.hint
    weights, _ = runs.load_weights(tmp_path / "run")
    assert all(value.isfinite().all() for value in weights.values())
    monkeypatch.undo()
    train(tiny.recipe(), entries, tmp_path / "run", resume=True, progress=False)
    assert [record["images"] for record in records(tmp_path / "run")] == [8, 16, 24, 32, 40]


def test_weights_that_are_not_finite_are_not_saved_over_good_ones(tmp_path: Path) -> None:
    """A finite loss can have a gradient that is not."""
    trainer = trainer_of(tiny.recipe())
    trainer.save(tmp_path, Log(tmp_path))
    with torch.no_grad():
        next(trainer.system.players["discriminator"].parameters()).view(-1)[3] = math.inf
    with pytest.raises(UserError, match="weights of discriminator"):
        trainer.save(tmp_path, Log(tmp_path))
    assert runs.find(tmp_path) is not None


# Resume after SIGKILL


def wait_for(process: subprocess.Popen[str], run: Path, images: int) -> None:
    """Until the run's checkpoint has seen this many images, and the log some more."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            saved = json.loads((run / "checkpoint" / "clock.json").read_text(encoding="utf-8"))["images"]
            if saved >= images and records(run)[-1]["images"] > saved:
                return
        except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError):
            pass  # not there yet, or just being written
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.005)
    raise AssertionError("no checkpoint within a minute")


def test_a_run_killed_twice_and_resumed_equals_an_uninterrupted_one_to_the_bit(
    cohort: Path, cache: Path, entries: list[Entry], tmp_path: Path
) -> None:
    """With all that has a state: optimisers, averaged weights, batch norm, sums of the log, two phases, clipping."""
    recipe = tiny.recipe(images=160, ema=50.0, log_every=8, checkpoint_every=20, preview_every=96, clip=1.0)
    data = DataConfig(size=32, min_area=2000.0, units="volume", augmentation=Augmentation())
    file = tiny.as_file(replace(recipe, data=data), tmp_path / "recipe.json")
    assert len(entries) == 4  # cached before three processes ask for them
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    uninterrupted = tiny.start(SCRIPT, file, cohort, cache, whole)
    for images, flags in ((20, []), (100, ["--resume"])):  # in the pre-training, then in the training proper
        process = tiny.start(SCRIPT, file, cohort, cache, killed, *flags)
        wait_for(process, killed, images)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    tiny.finish(tiny.start(SCRIPT, file, cohort, cache, killed, "--resume"))
    tiny.finish(uninterrupted)
    weights = [(run / "checkpoint" / "weights.safetensors").read_bytes() for run in (whole, killed)]
    assert weights[0] == weights[1]
    assert records(killed) == records(whole)
    assert records(whole)[-1]["images"] == 200
    states = [torch.load(run / "checkpoint" / "state.pt", weights_only=True) for run in (whole, killed)]
    for player, network in states[0]["players"].items():
        assert all(torch.equal(value, states[1]["players"][player][key]) for key, value in network.items())
