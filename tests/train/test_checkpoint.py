import errno
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError

from polycontrast import runs
from polycontrast.errors import UserError
from polycontrast.train import checkpoint

CPU = torch.device("cpu")


class Killed(BaseException):
    """Stands for SIGKILL: nothing after it runs."""


def save(run: Path, clock: int, size: int = 10) -> None:
    stamp = torch.full((size,), float(clock))
    checkpoint.save(run, {"generator.stamp": stamp}, {"clock": clock, "moments": stamp.clone()}, {"images": clock})


def loaded(run: Path) -> int:
    """The clock of the run's checkpoint, the same in all of its files."""
    state, clock = checkpoint.load_state(run, CPU)
    weights, file = runs.load_weights(run)
    assert file.name == "weights.safetensors"
    assert clock["images"] == state["clock"] == weights["generator.stamp"][0] == state["moments"][0]
    return int(clock["images"])


def left(run: Path) -> list[str]:
    return sorted(path.name for path in run.iterdir())


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_what_is_saved_is_loaded_and_nothing_else_lies_about(tmp_path: Path) -> None:
    for clock in (1, 2):
        save(tmp_path, clock)
        assert loaded(tmp_path) == clock
        assert left(tmp_path) == ["checkpoint"]
    assert left(tmp_path / "checkpoint") == ["clock.json", "state.pt", "weights.safetensors"]


def test_weights_may_share_memory_and_lie_anyhow_in_it(tmp_path: Path) -> None:
    shared = torch.arange(6.0).reshape(2, 3)
    checkpoint.save(tmp_path, {"a": shared.T, "b": shared}, {}, {"images": 1})
    weights, _ = runs.load_weights(tmp_path)
    assert torch.equal(weights["a"], shared.T)
    assert torch.equal(weights["b"], shared)


def test_a_run_without_a_checkpoint_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no checkpoint") as caught:
        checkpoint.load_state(tmp_path, CPU)
    assert caught.value.path == tmp_path


def test_50_kills_during_a_save_leave_no_unreadable_checkpoint(tmp_path: Path) -> None:
    script = Path(__file__).with_name("run_kills.py")
    done = subprocess.run(
        [sys.executable, script, tmp_path / "run", "50"], capture_output=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, done.stderr
    kills = [tuple(map(int, line.split())) for line in done.stdout.splitlines()]
    assert len(kills) == 50
    assert all(state == clock == weights for _, state, clock, weights, _ in kills)
    assert sum(halved for *_, halved in kills) >= 10  # the kills did fall into saves
    assert kills[-1][2] >= 5  # and saves were made between them


def test_a_kill_before_any_single_step_of_a_save_leaves_a_whole_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also between the two renames, which a kill at random hardly hits."""
    steps = 0
    whole = False
    while not whole:
        run = tmp_path / str(steps)
        save(run, 1)
        with monkeypatch.context() as patch:
            die_after(patch, steps)
            try:
                save(run, 2)
                whole = True
            except Killed:
                steps += 1
        assert loaded(run) in ((2,) if whole else (1, 2))
        save(run, 3)
        assert loaded(run) == 3
        assert left(run) == ["checkpoint"]
    assert steps > 10


def die_after(patch: pytest.MonkeyPatch, steps: int) -> None:
    """Let this many steps of a save happen and none after them, clean-ups included."""
    remaining = steps

    def deadly(step: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            nonlocal remaining
            if remaining == 0:
                raise Killed
            remaining -= 1
            return step(*arguments, **named)

        return call

    places = [(checkpoint, n) for n in ("save_file", "write_json", "_flush", "_settle")]
    for place, name in (*places, (torch, "save"), (Path, "rename"), (Path, "mkdir"), (shutil, "rmtree")):
        patch.setattr(place, name, deadly(getattr(place, name)))


@pytest.mark.parametrize(
    ("place", "name", "error"),
    [
        (checkpoint, "save_file", SafetensorError("I/O error: No space left on device (os error 28)")),
        (torch, "save", RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed")),
        (torch, "save", OSError(errno.ENOSPC, "No space left on device")),
        (checkpoint, "_flush", OSError(errno.EIO, "Input/output error")),
        (checkpoint, "write_json", UserError("cannot write: No space left on device")),
    ],
)
def test_a_full_disk_is_told_and_the_last_checkpoint_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: Any, name: str, error: Exception
) -> None:
    def full(*_: object) -> None:
        raise error

    save(tmp_path, 1)
    monkeypatch.setattr(place, name, full)
    with pytest.raises(UserError):
        save(tmp_path, 2)
    monkeypatch.undo()
    assert loaded(tmp_path) == 1
    assert left(tmp_path) == ["checkpoint"]


@pytest.mark.parametrize("large", ["weights", "state"])
def test_a_file_that_does_not_fit_is_told(tmp_path: Path, large: str) -> None:
    """A true failure of the system while the file is being written."""
    save(tmp_path, 1)
    tensors = {"a": torch.ones(100_000)}
    weights, state = (tensors, {}) if large == "weights" else ({"a": torch.ones(1)}, tensors)
    with file_size_limit(100_000), pytest.raises(UserError, match="could not be written") as caught:
        checkpoint.save(tmp_path, weights, state, {"images": 2})
    assert "--resume" in caught.value.hint
    assert loaded(tmp_path) == 1
    assert left(tmp_path) == ["checkpoint"]


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file")
    with pytest.raises(UserError, match="could not be written"):
        save(tmp_path / "run", 1)


def test_damaged_weights_are_told(tmp_path: Path) -> None:
    save(tmp_path, 1)
    file = tmp_path / "checkpoint" / "weights.safetensors"
    file.write_bytes(file.read_bytes()[:20])
    with pytest.raises(UserError, match="safetensors") as caught:
        runs.load_weights(tmp_path)
    assert caught.value.path == file
