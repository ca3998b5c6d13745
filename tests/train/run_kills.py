"""Kills a process that saves checkpoints all the time: run_kills.py RUN KILLS; prints what was left each time.

A line: kill number, clock of state.pt, clock of clock.json, clock in the weights, whether the kill hit a half-written
checkpoint. The child is forked, so that one import of torch serves all.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

import torch

from polycontrast.runs import load_weights
from polycontrast.train import checkpoint


def save_forever(run: Path, clock: int) -> None:
    while True:
        clock += 1
        stamp = torch.full((50_000,), float(clock))
        state: dict[str, Any] = {"clock": clock, "moments": [stamp.clone() for _ in range(3)]}
        checkpoint.save(run, {"generator.stamp": stamp}, state, {"images": clock})


def killed(run: Path, clock: int, delay: float) -> None:
    child = os.fork()
    if child == 0:
        save_forever(run, clock)
    time.sleep(delay)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def main(run: Path, kills: int) -> None:
    torch.set_num_threads(1)  # threads do not survive a fork
    chance = random.Random(0)
    checkpoint.save(run, {"generator.stamp": torch.zeros(50_000)}, {"clock": 0, "moments": []}, {"images": 0})
    last = 0
    for kill in range(kills):
        killed(run, last, chance.uniform(0.01, 0.06))
        halved = (run / checkpoint.NEW_CHECKPOINT).exists() or (run / "checkpoint.old").exists()
        state, clock = checkpoint.load_state(run, torch.device("cpu"))
        (stamp,) = load_weights(run)[0].values()
        assert (stamp == stamp[0]).all()
        assert all((moment == state["clock"]).all() for moment in state["moments"])
        last = int(clock["images"])
        print(kill, state["clock"], last, int(stamp[0]), int(halved), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
