"""A checkpoint is one folder, written beside the last one and renamed as a whole.

    RUN/checkpoint/weights.safetensors   what synthesis needs (averaged weights where EMA is on)
    RUN/checkpoint/state.pt              what a resume needs; read with weights_only
    RUN/checkpoint/clock.json            images seen, steps, seconds

A folder cannot replace a non-empty one in a single step, so the last checkpoint steps aside for a moment under the
name `checkpoint.old`: whoever loads after a kill just then finds it there.
"""

import os
import pickle
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from polycontrast.errors import UserError
from polycontrast.io.files import read_json, write_json
from polycontrast.runs import CHECKPOINT, OLD_CHECKPOINT, required

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

NEW_CHECKPOINT = "checkpoint.new"


@contextmanager
def alone(run: Path) -> Iterator[None]:
    """Inside, no other training writes into this run folder, which is made if absent; a UserError if one does.

    Windows, and file systems without locks, know of no other.
    """
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot be written: {error.strerror}", hint="choose another -o", path=run) from None
    if fcntl is None:
        yield
        return
    handle = os.open(run, os.O_RDONLY)
    try:
        with suppress(OSError):  # of a file system that has no locks
            _lock(handle, run)
        yield
    finally:
        os.close(handle)


def _lock(handle: int, run: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        hint = "wait for it or stop it, or choose another folder"
        raise UserError("another training is writing into this folder", hint=hint, path=run) from None


def save(run: Path, weights: dict[str, Tensor], state: dict[str, Any], clock: dict[str, float]) -> None:
    """Write a checkpoint of the run; whatever happens, a complete one stays loadable."""
    new, current, old = run / NEW_CHECKPOINT, run / CHECKPOINT, run / OLD_CHECKPOINT
    try:
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        save_file({k: v.detach().cpu().contiguous() for k, v in weights.items()}, new / "weights.safetensors")
        torch.save(state, new / "state.pt")
        write_json(new / "clock.json", clock)
        for file in new.iterdir():
            _flush(file)
        _settle(run)
        if current.exists():
            current.rename(old)
        new.rename(current)
        shutil.rmtree(old, ignore_errors=True)
        _flush(run)
    except (OSError, SafetensorError, RuntimeError) as error:  # torch.save reports a full disk as a RuntimeError
        hint = "free some disk space and go on with --resume; the last checkpoint is whole"
        raise UserError(f"the checkpoint could not be written: {error}", hint=hint, path=new) from error
    finally:
        shutil.rmtree(new, ignore_errors=True)  # absent after success


def load_state(run: Path, device: torch.device) -> tuple[dict[str, Any], dict[str, float]]:
    """state and clock of the last complete checkpoint."""
    folder = required(run)
    try:
        state = torch.load(folder / "state.pt", map_location=device, weights_only=True)
    except (RuntimeError, OSError, EOFError, pickle.UnpicklingError) as error:
        raise UserError(f"cannot be read: {error}", hint="start the run anew", path=folder / "state.pt") from None
    return state, read_json(folder / "clock.json")


def _settle(run: Path) -> None:
    """Undo what a kill between the two renames left: the old checkpoint is the current one again."""
    current, old = run / CHECKPOINT, run / OLD_CHECKPOINT
    if old.exists() and not current.exists():
        old.rename(current)
    shutil.rmtree(old, ignore_errors=True)


def _flush(path: Path) -> None:
    """Have the file system keep what was written, so that a power cut after the rename finds it."""
    if os.name == "nt":  # Windows opens no folder, and flushes no file that is open for reading alone
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
