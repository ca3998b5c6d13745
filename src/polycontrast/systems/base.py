"""The contract of a system: one published method, its networks, its losses and its way to synthesise.

The loop owns optimisers, precision, gradient all-reduce, clipping, EMA, logging and files. A system never reads a file
and never steps an optimiser.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from polycontrast.data.dataset import Batch, DataConfig


class Term(NamedTuple):
    """A named term of a loss: the log shows `value`, the turn minimises the sum of weight * value."""

    value: Tensor
    weight: float = 1.0


@dataclass(frozen=True)
class OptimiserConfig:
    """Adam of one player. schedule: (fraction of the phase's images, rate) steps, the first at 0."""

    schedule: tuple[tuple[float, float], ...] = ((0.0, 2e-4),)
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0

    def rate(self, fraction: float) -> float:
        """The learning rate when this fraction of the phase's images has been seen."""
        return [rate for start, rate in self.schedule if start <= fraction][-1]


@dataclass(frozen=True)
class Phase:
    """A stretch of training: its name, its length in images and the players that take turns in it, in order."""

    name: str
    images: int
    turns: tuple[str, ...]


class SampleRng:
    """Random numbers that belong to samples: each derives from (seed, the sample's global index) alone."""

    def __init__(self, seed: int, index: Sequence[int], device: torch.device) -> None:
        self._streams = [np.random.default_rng((seed, 3, i)) for i in index]
        self._device = device

    def integers(self, high: int) -> Tensor:
        """[B] whole numbers in [0, high)."""
        return torch.tensor([int(s.integers(high)) for s in self._streams], device=self._device)

    def uniform(self) -> Tensor:
        """[B] float64 numbers in [0, 1) (float32 where the device has nothing wider)."""
        dtype = torch.float32 if self._device.type == "mps" else torch.float64
        return torch.tensor([s.random() for s in self._streams], dtype=dtype, device=self._device)


class System(ABC):
    """One method. `players` are the groups of networks that share one optimiser and take turns.

    synthesizers: the players that synthesis needs, whose weights are published. bfloat16, channels_last: the players
    that `run` computes so (the loop sets them); losses and penalties are always outside autocast, in float32.
    """

    players: dict[str, nn.Module]
    optimisers: dict[str, OptimiserConfig]
    have: tuple[str, ...]
    want: tuple[str, ...]
    synthesizers: tuple[str, ...]
    bfloat16: frozenset[str] = frozenset()
    channels_last: frozenset[str] = frozenset()

    def __init__(self, data: DataConfig) -> None:
        self.data = data

    @abstractmethod
    def phases(self, images: int) -> list[Phase]:
        """How a training of this many images is divided."""

    @abstractmethod
    def draw(self, batch: Batch, phase: str, rng: SampleRng) -> Any:
        """Once a step: everything random, and every fake that more than one turn uses."""

    @abstractmethod
    def losses(self, player: str, scene: Any) -> dict[str, Term]:
        """The named terms that this player minimises in its turn."""

    @abstractmethod
    def synthesize(self, images: Tensor, have: Sequence[str], want: Sequence[str]) -> tuple[Tensor, Tensor | None]:
        """images [B, len(have), K, H, W] in the system's units -> ([B, len(want), 1, H, W], scale or None)."""

    def extra_state(self) -> dict[str, Any]:
        """What must survive a resume beside weights and optimisers (image pools and the like)."""
        return {}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        if state:
            raise ValueError(f"{type(self).__name__} keeps no extra state, found {sorted(state)}")

    def run(self, player: str, x: Tensor) -> Any:
        """The player's network on x, under bf16 autocast if the player is in `bfloat16`; float32 comes back."""
        if player in self.channels_last:
            x = x.contiguous(memory_format=torch.channels_last)
        with torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=player in self.bfloat16):
            out = self.players[player](x)
        return tuple(map(_widen, out)) if isinstance(out, tuple) else _widen(out)

    def to(self, device: torch.device) -> "System":
        for network in self.players.values():
            network.to(device)
        return self


def _widen(x: Tensor) -> Tensor:
    return x.float() if x.dtype is torch.bfloat16 else x
