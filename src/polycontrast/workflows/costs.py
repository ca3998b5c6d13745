"""What a system costs: processes of their own to measure peaks in, and what logs and models tell."""

import json
import multiprocessing
import os
import platform
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

import torch

from polycontrast import runs
from polycontrast.errors import UserError
from polycontrast.infer.sets import Model
from polycontrast.io.files import read_json, write_json
from polycontrast.systems.base import System

T = TypeVar("T")
Prepare = Callable[[], object]
COST = "cost.json"


def nothing() -> None:
    """Prepares a process that needs no preparation."""


def in_child(prepare: Prepare, function: Callable[..., T], *arguments: Any) -> T:
    """What the function returns in a fresh process, which first calls `prepare`; its UserErrors are raised here.

    Function and arguments must be picklable. The process ends with this one, however that ends. Raises UserError if it
    ends without an answer.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_answer, args=(sender, prepare, function, arguments), daemon=True)
    child.start()
    sender.close()
    try:
        error, value = receiver.recv()
    except EOFError:
        child.join()
        raise UserError(
            f"the process of its own ended without an answer (exit code {child.exitcode})",
            hint="its traceback is above; if there is none, and the code is -9, there was too little memory",
        ) from None
    finally:
        child.terminate()
        child.join()
        receiver.close()
    if error is not None:
        raise error
    answer: T = value
    return answer


def _answer(sender: Connection, prepare: Prepare, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is interrupted too, and ends this process
    threading.Thread(target=_end_with_parent, daemon=True).start()
    prepare()
    try:
        sender.send((None, function(*arguments)))
    except UserError as error:
        sender.send((error, None))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def note(file: Path, stage: str, device: torch.device, sums: Mapping[str, float] | None = None) -> None:
    """Add to the record of a stage in a cost file. sums: what adds up over the stretches of a job that was stopped and
    went on (seconds, volumes). Of this process's peak of memory, in GB (and the device's, if it has its own), the
    largest is kept.

    The file: {stage: {"memory_gb", "device_memory_gb", and the sums}}.
    """
    costs = read_json(file) if file.exists() else {}
    old = costs.get(stage, {})
    own = torch.cuda.max_memory_allocated(device) / 1e9 if device.type == "cuda" else None
    costs[stage] = {
        "memory_gb": max(old.get("memory_gb", 0.0), peak_memory()),
        "device_memory_gb": own if own is None else max(old.get("device_memory_gb") or 0.0, own),
        **{name: old.get(name, 0) + value for name, value in (sums or {}).items()},
    }
    write_json(file, costs)


def measured(file: Path) -> dict[str, float | None]:
    """A cost file for a table: seconds per volume, and the peaks of memory of both stages; None where unknown."""
    costs = read_json(file) if file.exists() else {}
    synthesis = costs.get("synthesis", {})
    volumes = synthesis.get("volumes", 0)
    peaks = {
        f"{stage}_{key}": costs.get(stage, {}).get(key)
        for stage in ("training", "synthesis")
        for key in ("memory_gb", "device_memory_gb")
    }
    return {"seconds_per_volume": synthesis["seconds"] / volumes if volumes else None, **peaks}


def peak_memory() -> float:
    """The most memory of this process that was resident so far, in GB.

    Linux's own high-water mark where there is one: what `getrusage` calls so is inherited from the parent process. 0
    on Windows, which has neither.
    """
    status = Path("/proc/self/status")
    if status.exists():
        values = dict(line.split(":", 1) for line in status.read_text(encoding="utf-8", errors="replace").splitlines())
        return int(values["VmHWM"].split()[0]) * 1024 / 1e9
    if os.name == "nt":
        return 0.0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e9 if sys.platform == "darwin" else peak * 1024 / 1e9


def machine(device: torch.device) -> str:
    """One line: processor, graphics card if used, threads, library. What a figure was measured on."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8", errors="replace").splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    parts = [f"{len(names)} x {names[0]}" if names else platform.machine()]
    if device.type == "cuda":
        parts.append(torch.cuda.get_device_name(device))
    return ", ".join([*parts, f"{torch.get_num_threads()} threads", f"torch {torch.__version__}"])


def training(folder: Path, model: Model, want: tuple[str, ...]) -> dict[str, Any]:
    """{"images", "images_per_second"} of a run, or of the runs of a set that make the wanted contrasts, off their logs;
    None where a run has no log."""
    names = runs.members(folder)
    last = [_last(folder / part.name if names else folder) for part, _ in model.parts(want)]
    clocks = [clock for clock in last if clock is not None]
    if len(clocks) < len(last):
        return {"images": None, "images_per_second": None}
    images, seconds = (sum(clock[key] for clock in clocks) for key in ("images", "seconds"))
    return {"images": images, "images_per_second": images / seconds if seconds > 0 else None}


def _last(run: Path) -> dict[str, Any] | None:
    """The last whole record of a run's log: a kill may have cut a line short."""
    file = run / "metrics.jsonl"
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    for line in reversed(lines):
        try:
            record: dict[str, Any] = json.loads(line)
        except json.JSONDecodeError:
            continue
        return record
    return None


def parameters(model: Model, want: tuple[str, ...]) -> dict[str, int]:
    """How many parameters synthesis of these contrasts needs, and how many there are in all players; tied ones count
    once."""
    systems = [part.system for part, _ in model.parts(want)]
    return {
        "parameters": sum(_count(system, system.synthesizers) for system in systems),
        "parameters_of_all_players": sum(_count(system, tuple(system.players)) for system in systems),
    }


def _count(system: System, players: tuple[str, ...]) -> int:
    return sum(p.numel() for player in players for p in system.players[player].parameters())
