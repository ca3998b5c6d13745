from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from polycontrast import runs, systems
from polycontrast.data.cache import Entry
from polycontrast.data.dataset import SliceDataset
from polycontrast.errors import UserError
from polycontrast.recipes import Recipe
from polycontrast.train import distributed
from polycontrast.train.distributed import Ranks
from polycontrast.train.loop import train

from .. import tiny
from ..systems.ranks import apart, on_two_ranks

STEP = Path(__file__).with_name("run_step.py")
TRAINING = Path(__file__).with_name("run_training.py")
PLAYERS = ["generator", "discriminator", "segmenter"]
Steps = tuple[dict[str, Any], dict[str, Any]]


@pytest.fixture(scope="module")
def steps(cohort: Path, cache: Path, entries: list[Entry], tmp_path_factory: pytest.TempPathFactory) -> Steps:
    """What run_step.py finds as one process and as two ranks."""
    assert entries  # cached before the processes ask for them
    folder = tmp_path_factory.mktemp("steps")
    arguments = (tiny.as_file(tiny.recipe(), folder / "recipe.json"), cohort, cache)
    for process in (tiny.start(STEP, *arguments, folder / "1"), *on_two_ranks(STEP, *arguments, folder / "2")):
        tiny.finish(process)
    return torch.load(folder / "1", weights_only=True), torch.load(folder / "2", weights_only=True)


@pytest.mark.parametrize("player", PLAYERS)
def test_two_ranks_have_the_gradients_of_one_process(steps: Steps, player: str) -> None:
    one, two = (found["0.0 running"]["gradients"] for found in steps)
    assert apart(two, one, player) < 1e-12


@pytest.mark.parametrize("player", PLAYERS)
def test_two_ranks_have_the_weights_of_one_process_after_a_step(steps: Steps, player: str) -> None:
    one, two = (found["0.001 running"]["weights"] for found in steps)
    assert apart(two, one, player) < 1e-9
    assert apart(one, steps[0]["0.0 running"]["weights"], player) > 1e-4  # and the step did move them


def test_two_ranks_log_the_terms_of_one_process(steps: Steps) -> None:
    one, two = (found["0.0 running"]["terms"] for found in steps)
    assert two == pytest.approx(one, rel=1e-12)


def test_batch_statistics_are_each_ranks_own(steps: Steps) -> None:
    """What prevents equality as it trains: the segmenter's batch norm sees a rank's share of the batch, not the whole.

    So the segmenter's gradients differ, and the generator's, which come through it; the discriminator has no such norm.
    """
    one, two = (found["0.0 batch"]["gradients"] for found in steps)
    assert apart(two, one, "discriminator") < 1e-12
    assert 1e-6 < apart(two, one, "segmenter") < 1
    assert 1e-6 < apart(two, one, "generator") < 1


def test_two_ranks_train_the_run_of_one_process(
    cohort: Path, cache: Path, entries: list[Entry], tmp_path: Path
) -> None:
    """Without the segmenter's share it is the same run, but for the order of float32 sums; the first rank writes it.

    Compared by what is synthesised: rounding moves biases before an instance norm, which have no effect.
    """
    recipe = tiny.recipe(images=12)
    recipe = replace(recipe, system=replace(recipe.system, seg=0.0))
    file = tiny.as_file(recipe, tmp_path / "recipe.json")
    both = on_two_ranks(TRAINING, file, cohort, cache, tmp_path / "two")
    train(recipe, entries, tmp_path / "one", progress=False)
    for process in both:
        tiny.finish(process)
    untrained, one, two = (made(recipe, entries, run) for run in (None, tmp_path / "one", tmp_path / "two"))
    assert (one - two).abs().mean() < 0.01 * (one - untrained).abs().mean()
    logs = [(tmp_path / name / "metrics.jsonl").read_text(encoding="utf-8").splitlines() for name in ("one", "two")]
    assert len(logs[0]) == len(logs[1]) == 2


def made(recipe: Recipe, entries: list[Entry], run: Path | None) -> torch.Tensor:
    """A few slices as the run synthesises them; as it would have before training, if None."""
    torch.manual_seed(recipe.train.seed)
    system = systems.build(recipe.system, recipe.data)
    if run is not None:
        weights, _ = runs.load_weights(run)
        generator = {k.removeprefix("generator."): v for k, v in weights.items()}
        system.players["generator"].load_state_dict(generator)
    source = SliceDataset(entries, recipe.data).batch(range(4)).images[:, [recipe.data.contrasts.index("T2")]]
    return system.synthesize(source, system.have, system.want)[0]


def test_one_process_needs_no_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    ranks = distributed.start(torch.device("cpu"))
    assert ranks == Ranks(0, 1)
    assert ranks.first
    tensor = torch.ones(2)
    assert distributed.average(tensor, ranks) is tensor
    distributed.barrier(ranks)
    distributed.stop()
    distributed.finish()  # and does not end this process


def test_a_batch_must_be_shared_evenly() -> None:
    distributed.check_share(6, Ranks(0, 3))
    with pytest.raises(UserError, match="batch of 6 cannot be shared by 4"):
        distributed.check_share(6, Ranks(0, 4))
