"""One run, or a set of them: what is added to a set, what goes on after a kill, what may not lie in one folder."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from polycontrast import runs
from polycontrast.data.cache import Entry
from polycontrast.errors import UserError
from polycontrast.infer.sets import load
from polycontrast.recipes import Recipe
from polycontrast.train.distributed import Ranks
from polycontrast.workflows import training

from .. import models, photos, tiny

Train = Callable[..., Path]


@pytest.fixture(name="train")
def _train(entries: list[Entry], monkeypatch: pytest.MonkeyPatch) -> Train:
    """train(recipe, out, want=...) of 4 images a run, without pictures."""
    for name in ("pictures.curves", "train.loop.preview"):
        monkeypatch.setattr(f"polycontrast.{name}", lambda *_, **__: None)

    def train(recipe: Recipe, out: Path, **asked: Any) -> Path:
        short = replace(recipe, train=replace(recipe.train, images=4))
        return training.train_ways(short, lambda _: entries, out, progress=False, **asked)

    return train


def killed_at(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The training of this run is interrupted before it is told that it ended."""
    real = training.train

    def train(recipe: Recipe, source: Any, run: Path, **options: Any) -> Path:
        done = real(recipe, source, run, **options)
        if run.name == name:
            raise KeyboardInterrupt
        return done

    monkeypatch.setattr(training, "train", train)


def test_a_run_is_added_to_a_set(train: Train, tmp_path: Path) -> None:
    out = train(tiny.pairwise(), tmp_path / "set", want=("T1", "T1ce"))
    assert runs.members(out) == ("t2_to_t1", "t2_to_t1ce")
    train(tiny.pairwise(), out, want=("FLAIR",))
    assert runs.members(out) == ("t2_to_t1", "t2_to_t1ce", "t2_to_flair")
    assert not (out / "config.json").exists()
    assert load(out).want == ("T1", "T1ce", "FLAIR")
    assert load(out / "t2_to_flair").want == ("FLAIR",)


@pytest.mark.parametrize("stopped", ["t2_to_t1", "t2_to_t1ce"])
def test_a_set_that_was_stopped_goes_on(
    train: Train, tmp_path: Path, stopped: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, asked = tmp_path / "set", {"want": ("T1", "T1ce")}
    with monkeypatch.context() as patch:
        killed_at(patch, stopped)
        with pytest.raises(KeyboardInterrupt):
            train(tiny.pairwise(), out, **asked)
    assert stopped not in runs.members(out)
    with pytest.raises(UserError, match="there is a run already"):
        train(tiny.pairwise(), out, **asked)
    train(tiny.pairwise(), out, **asked, resume=True)
    assert runs.members(out) == ("t2_to_t1", "t2_to_t1ce")


def test_nothing_is_trained_of_a_set_of_which_a_run_is_there_or_lacks_its_cases(
    train: Train, entries: list[Entry], tmp_path: Path
) -> None:
    models.make_run(tmp_path / "a" / "t2_to_t1ce", tiny.pairwise(want="T1ce"))
    with pytest.raises(UserError, match="there is a run already"):
        train(tiny.pairwise(), tmp_path / "a", want=("T1", "T1ce"))
    assert not (tmp_path / "a" / "t2_to_t1").exists()
    some = [replace(entry, contrasts=("T1", "T2")) for entry in entries]
    with pytest.raises(UserError, match="0 cases have all of T2, T1ce"):
        training.train_ways(tiny.pairwise(), lambda _: some, tmp_path / "b", want=("T1", "T1ce"), progress=False)
    assert not (tmp_path / "b").exists()


def test_a_set_whose_first_run_was_stopped_is_a_set(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        killed_at(patch, "t2_to_t1")
        with pytest.raises(KeyboardInterrupt):
            train(tiny.pairwise(), tmp_path, want=("T1", "T1ce"))
    train(tiny.pairwise(), tmp_path, want=("FLAIR",))
    assert runs.members(tmp_path) == ("t2_to_flair",)
    assert not (tmp_path / "config.json").exists()


def test_a_set_is_not_made_where_a_run_is(train: Train, tmp_path: Path) -> None:
    models.make_run(tmp_path / "run", tiny.pairwise())
    with pytest.raises(UserError, match="a single run already") as caught:
        train(tiny.pairwise(), tmp_path / "run", want=("T1", "T1ce"))
    assert caught.value.path == tmp_path / "run"
    assert not (tmp_path / "run" / "t2_to_t1").exists()


@pytest.mark.parametrize(
    ("recipe", "asked", "words"),
    [
        (tiny.recipe(), {}, "tiny cannot join"),
        (tiny.labelled(), {"want": ("FLAIR",)}, "labelled cannot join"),
        (photos.pix2pix(), {}, "tiny_pix2pix cannot join"),
        (tiny.pairwise(), {"have": ("T1", "T2"), "want": ("T1ce",)}, "t2_to_t1ce makes T1ce already"),
    ],
)
def test_what_a_set_has_no_use_for_does_not_join_it(
    train: Train, tmp_path: Path, recipe: Recipe, asked: dict[str, Any], words: str
) -> None:
    out = models.make_set(tmp_path / "set", [tiny.pairwise(want=name) for name in ("T1", "T1ce")])
    before = sorted(out.rglob("*"))
    with pytest.raises(UserError, match=words) as caught:
        train(recipe, out, **asked)
    assert caught.value.path == out
    assert sorted(out.rglob("*")) == before


def test_nothing_is_trained_if_one_of_the_runs_cannot_be_built(train: Train, tmp_path: Path) -> None:
    odd = tiny.pairwise()
    odd = replace(odd, data=replace(odd.data, size=40))
    with pytest.raises(UserError, match="size 40"):
        train(odd, tmp_path / "set", want=("T1", "T1ce"))
    assert not (tmp_path / "set").exists()


def test_the_first_rank_alone_lists_the_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("train", "open_dataset"):
        monkeypatch.setattr(training, name, lambda *_, **__: None)
    for rank in (1, 0):
        monkeypatch.setattr("polycontrast.train.distributed.start", lambda _, rank=rank: Ranks(rank, 2))
        training.train_ways(tiny.pairwise(), lambda _: [], tmp_path, want=("T1", "T1ce"))
        assert (tmp_path / runs.SET).exists() == (rank == 0)
