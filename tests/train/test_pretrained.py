import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from polycontrast import recipes, runs
from polycontrast.data.cache import Entry
from polycontrast.data.split import of_same_subjects
from polycontrast.errors import UserError
from polycontrast.io.files import read_json, sha256
from polycontrast.recipes import Recipe
from polycontrast.systems.base import OptimiserConfig
from polycontrast.train.loop import Trainer, train
from polycontrast.workflows.training import train_ways

from .. import tiny


@pytest.fixture(scope="module")
def ancestor(entries: list[Entry], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one patient, with averaged weights."""
    folder = tmp_path_factory.mktemp("ancestor") / "old"
    return train(tiny.recipe(images=8, ema=8.0), entries[:1], folder, progress=False)


def going_on(model: Path | str, rate: float = 1e-3, **settings: Any) -> Recipe:
    recipe = tiny.recipe(**{"images": 8, "seed": 1, "pretrained": str(model), **settings})
    return replace(recipe, system=replace(recipe.system, generator=OptimiserConfig(((0.0, rate),))))


def weights_of(run: Path) -> dict[str, torch.Tensor]:
    return runs.load_weights(run)[0]


class Stop(Exception):
    """Ends a training."""


def stop(recipe: Recipe, entries: list[Entry], run: Path, after: int) -> None:
    """A run that is stopped after so many images."""

    def stopped(self: Trainer, batch: Any, step: Any = Trainer.step) -> dict[str, float]:
        if self.clock.images >= after:
            raise Stop
        return step(self, batch)  # type: ignore[no-any-return]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "step", stopped)
        with pytest.raises(Stop):
            train(recipe, entries, run, progress=False)


@pytest.mark.parametrize("ema", [0.0, 8.0])
def test_a_pretrained_run_begins_with_the_weights_of_the_model(
    ancestor: Path, entries: list[Entry], tmp_path: Path, ema: float
) -> None:
    """At a rate of 0 it ends with them, too; at another it does not."""
    still = train(going_on(ancestor, rate=0.0, ema=ema), entries, tmp_path / "still", progress=False)
    moved = train(going_on(ancestor, ema=ema), entries, tmp_path / "moved", progress=False)
    for name, value in weights_of(ancestor).items():
        torch.testing.assert_close(weights_of(still)[name], value)
    assert any(not torch.equal(weights_of(moved)[name], value) for name, value in weights_of(ancestor).items())


def test_it_tells_the_model_and_counts_its_patients_as_seen(
    ancestor: Path, entries: list[Entry], tmp_path: Path
) -> None:
    """Who judges it, calibrates it or synthesises with it asks `cases`."""
    run = train(going_on(ancestor), entries[1:], tmp_path / "run", progress=False)
    weights = ancestor / "checkpoint" / "weights.safetensors"
    assert read_json(run / "config.json")["pretrained"] == {
        "model": "old", "sha256": sha256(weights), "cases": [entries[0].id],
    }  # fmt: skip
    seen = runs.read_config(run).cases
    assert sorted(seen) == sorted(entry.id for entry in entries)
    assert of_same_subjects([entries[0].id], seen)


def test_a_resumed_run_needs_the_model_no_more(ancestor: Path, entries: list[Entry], tmp_path: Path) -> None:
    """And ends as the run that was never stopped."""
    lent = tmp_path / "lent"
    shutil.copytree(ancestor, lent)
    recipe = going_on(lent, images=16, checkpoint_every=8)
    whole = weights_of(train(recipe, entries, tmp_path / "whole", progress=False))

    stop(recipe, entries, tmp_path / "cut", after=16)
    shutil.rmtree(lent)
    cut = train(recipe, entries, tmp_path / "cut", resume=True, progress=False)
    assert all(torch.equal(value, whole[name]) for name, value in weights_of(cut).items())


def test_a_run_without_a_checkpoint_begins_anew_with_the_same_model_only(
    ancestor: Path, entries: list[Entry], tmp_path: Path
) -> None:
    """Else config.json would go on telling the patients of the model that was there first."""
    lent, run = tmp_path / "lent", tmp_path / "run"
    shutil.copytree(ancestor, lent)
    recipe = going_on(lent)
    stop(recipe, entries, run, after=4)
    shutil.rmtree(lent)
    train(tiny.recipe(images=8), entries[1:2], lent, progress=False)
    with pytest.raises(UserError, match="not the one that the run began with"):
        train(recipe, entries, run, resume=True, progress=False)
    shutil.rmtree(lent)
    shutil.copytree(ancestor, lent)
    assert train(recipe, entries, run, resume=True, progress=False) == run


def test_a_set_of_runs_begins_with_the_runs_of_a_set(entries: list[Entry], tmp_path: Path) -> None:
    recipe = tiny.pairwise()
    recipe = replace(recipe, train=replace(recipe.train, images=4))
    model = train_ways(recipe, lambda _: entries, tmp_path / "model", want=("T1", "FLAIR"), progress=False)
    recipe = replace(recipe, train=replace(recipe.train, pretrained=str(model)))
    train_ways(recipe, lambda _: entries, tmp_path / "set", want=("T1", "FLAIR"), progress=False)
    for name in ("t2_to_t1", "t2_to_flair"):
        told = read_json(tmp_path / "set" / name / "config.json")["pretrained"]
        assert (told["model"], told["sha256"]) == (name, sha256(model / name / "checkpoint" / "weights.safetensors"))
    alone = replace(recipe, train=replace(recipe.train, pretrained=str(model / "t2_to_t1")))
    with pytest.raises(UserError, match="model's want is T1, this run's FLAIR"):
        train_ways(alone, lambda _: entries, tmp_path / "other", want=("T1", "FLAIR"), progress=False)
    assert not (tmp_path / "other").exists()


def test_a_run_cannot_take_the_name_of_the_shipped_model_that_it_begins_with(
    entries: list[Entry], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once there, it would be what the name means."""
    monkeypatch.chdir(tmp_path)
    recipe = recipes.recipe("any2any")
    recipe = replace(recipe, train=replace(recipe.train, pretrained="any2any"))
    with pytest.raises(UserError, match="take the name of the model"):
        train_ways(recipe, lambda _: entries, Path("any2any"))
    assert not (tmp_path / "any2any").exists()


def test_a_model_that_makes_other_contrasts_is_refused(ancestor: Path, entries: list[Entry], tmp_path: Path) -> None:
    """Of as many contrasts, so that its weights would fit."""
    recipe = going_on(ancestor)
    recipe = replace(recipe, system=replace(recipe.system, have=("T1",), want=("T2", "T1ce", "FLAIR")))
    with pytest.raises(UserError, match="model's have is T2, this run's T1") as caught:
        train(recipe, entries, tmp_path / "run", progress=False)
    assert caught.value.path == ancestor
    assert not (tmp_path / "run").exists()


def test_a_model_whose_numbers_mean_something_else_is_refused(
    ancestor: Path, entries: list[Entry], tmp_path: Path
) -> None:
    """An end by tanh, in units of slices, and a linear one in units of volumes have the same weights."""
    recipe = going_on(ancestor)
    recipe = replace(recipe, data=replace(recipe.data, units="volume"))
    with pytest.raises(UserError, match="model's units is slice-max, this run's volume"):
        train(recipe, entries, tmp_path / "run", progress=False)


def test_a_model_of_another_size_is_refused(ancestor: Path, entries: list[Entry], tmp_path: Path) -> None:
    recipe = going_on(ancestor)
    recipe = replace(recipe, system=replace(recipe.system, base=8))
    with pytest.raises(UserError, match="not those of the recipe: size mismatch") as caught:
        train(recipe, entries, tmp_path / "run", progress=False)
    assert caught.value.path == ancestor / "checkpoint" / "weights.safetensors"
    assert not (tmp_path / "run").exists()


def test_a_model_that_is_not_there_is_told(entries: list[Entry], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such run folder"):
        train(going_on(tmp_path / "nothing"), entries, tmp_path / "run", progress=False)
